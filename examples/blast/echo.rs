//! The ceiling: `recvmmsg`, one bit, `sendmmsg`, and nothing else.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::thread;

use clap::Args;
use socket2::Domain;
use socket2::Protocol;
use socket2::Socket;
use socket2::Type;

use crate::batch_sys::Batch;
use crate::batch_sys::stay_on;
use crate::cores::Cores;

/// Messages per system call: more make no difference on loopback.
const BATCH: usize = 64;

#[derive(Args)]
pub struct Echo {
    /// Where to listen
    #[arg(long, value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// One thread with a socket of its own (SO_REUSEPORT) on each core
    #[arg(long, value_name = "N,N", default_value = "0,1")]
    cores: Cores,
    /// By how many octets an answer is longer than its query: 16 for one A record
    #[arg(long, value_name = "OCTETS", default_value_t = 16)]
    grow: usize,
}

impl Echo {
    /// Echoes until it is killed.
    pub fn run(self) -> Result<(), Box<dyn Error>> {
        let mut threads = Vec::new();
        for core in self.cores.0 {
            let domain = Domain::for_address(self.listen);
            let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
            socket.set_reuse_port(true)?;
            socket.set_recv_buffer_size(4 << 20)?;
            socket.bind(&self.listen.into())?;
            let socket = socket.into();
            threads.push(thread::spawn(move || -> io::Result<()> {
                stay_on(core)?;
                let mut batch = Batch::new(BATCH, true);
                loop {
                    let n = batch.receive(&socket, true)?;
                    for ix in 0..n {
                        batch.respond(ix, self.grow);
                    }
                    batch.send(&socket, n)?;
                }
            }));
        }
        for thread in threads {
            thread.join().expect("an echo does not panic")?;
        }
        Ok(())
    }
}
