//! `Rendered`: a page that is rendered once for all who ask for it at about the same time.
//!
//! With thousands of pools a page takes a tenth of a second and megabytes. Whoever asks in a loop, or asks
//! and does not read, must cost neither the cores that answer queries nor the memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

/// A rendering is handed out for so many times as long as it took, so that a page takes a tenth of a core
/// at most, and small ones are as good as always fresh.
const REST: u32 = 10;

/// But never for longer than this.
const MAX_AGE: Duration = Duration::from_secs(2);

/// Renderings of a page that are in memory at a time: the latest, and older ones that slow clients still
/// read. While there are as many, the latest is handed out however old it is.
const MAX_RENDERINGS: usize = 4;

/// A page.
pub struct Rendered {
    latest: Mutex<Option<Latest>>,
    room: Arc<Semaphore>,
}

struct Latest {
    key: Box<str>,
    text: Bytes,
    stale_at: Instant,
}

/// A text that is in memory; `Bytes` drops it with its last reader.
struct Rendering {
    text: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Rendering {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

impl Rendered {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            latest: Mutex::new(None),
            room: Arc::new(Semaphore::new(MAX_RENDERINGS)),
        }
    }

    /// The page, rendered now if the latest rendering is too old, or of another key: what it was asked to show.
    /// Empty only if the process ends, or if it cannot be rendered now for another key.
    pub async fn get<T: Into<Vec<u8>>>(
        &self,
        key: &str,
        render: impl FnOnce() -> T + Send + 'static,
    ) -> Bytes {
        let mut latest = self.latest.lock().await;
        let now = Instant::now();
        let room = Arc::clone(&self.room).try_acquire_owned();
        let room = match (&*latest, room) {
            (Some(latest), room)
                if *latest.key == *key && (now < latest.stale_at || room.is_err()) =>
            {
                return latest.text.clone();
            }
            (_, Ok(room)) => room,
            (_, Err(_)) => return Bytes::new(),
        };
        let rendering = spawn_blocking(move || Rendering {
            text: render().into(),
            _room: room,
        });
        let Ok(rendering) = rendering.await else {
            return Bytes::new();
        };
        let text = Bytes::from_owner(rendering);
        let took = now.elapsed();
        *latest = Some(Latest {
            key: key.into(),
            text: text.clone(),
            stale_at: now + took + (took * REST).min(MAX_AGE),
        });
        text
    }

    /// Has the next one be rendered afresh: something has changed that it must show.
    pub async fn outdate(&self) {
        if let Some(latest) = &mut *self.latest.lock().await {
            latest.stale_at = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    /// The page number `n`, rendered in so much time.
    async fn get(page: &Rendered, n: &Arc<AtomicUsize>, takes: Duration) -> Bytes {
        let n = Arc::clone(n);
        page.get("", move || {
            std::thread::sleep(takes);
            n.fetch_add(1, Relaxed).to_string()
        })
        .await
    }

    #[tokio::test]
    async fn who_asks_at_the_same_time_gets_the_same() {
        let (page, n) = (Rendered::new(), Arc::default());
        let takes = Duration::from_millis(200);
        let (a, b, c) = tokio::join!(
            get(&page, &n, takes),
            get(&page, &n, takes),
            get(&page, &n, takes)
        );
        assert_eq!([&a[..], &b, &c], [b"0", b"0", b"0"]);
        page.outdate().await;
        assert_eq!(get(&page, &n, takes).await, "1");
    }

    #[tokio::test]
    async fn slow_readers_hold_a_few_renderings_only() {
        let (page, n) = (Rendered::new(), Arc::default());
        let mut held = Vec::new();
        for expected in ["0", "1", "2", "3", "3", "3"] {
            page.outdate().await;
            let text = get(&page, &n, Duration::ZERO).await;
            assert_eq!(text, expected);
            held.push(text);
        }
        held.clear();
        page.outdate().await;
        assert_eq!(get(&page, &n, Duration::ZERO).await, "4");
    }
}
