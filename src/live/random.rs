//! Randomness from the kernel, for secrets that outsiders must not guess.

use rustix::io::Errno;
use rustix::rand::GetRandomFlags;
use rustix::rand::getrandom;

/// Random octets. Waits until the kernel has enough to give, which only the first moments after a
/// machine's start can delay.
///
/// # Panics
/// On a kernel without `getrandom` (Linux before 3.17), where nothing could be kept secret.
#[expect(clippy::panic, reason = "nothing can be served safely without")]
pub fn octets<const N: usize>() -> [u8; N] {
    let mut octets = [0; N];
    let mut n = 0;
    while n < N {
        match getrandom(&mut octets[n..], GetRandomFlags::empty()) {
            Ok(more) => n += more,
            Err(Errno::INTR) => {}
            Err(error) => panic!("the kernel gives no randomness: {error}"),
        }
    }
    octets
}
