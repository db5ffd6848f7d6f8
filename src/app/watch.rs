//! When to reload: at a notification, or when the file has changed.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::reload::Reloader;
use crate::admin::Reload;

/// How often a watched file is read. It is loaded once two readings are equal, because editors write in several steps.
const INTERVAL: Duration = Duration::from_secs(2);

/// Reloads whenever `requested` is notified, and, if `watches`, when the file has changed. Ends with `stopped`.
pub async fn watch(
    reloader: Arc<Reloader>,
    requested: Arc<Notify>,
    watches: bool,
    stopped: CancellationToken,
) {
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = None;
    loop {
        tokio::select! {
            () = stopped.cancelled() => return,
            () = requested.notified() => {}
            _ = ticks.tick(), if watches => {
                let now = read(reloader.path()).await;
                let is_settled = now == seen;
                seen = now;
                match &seen {
                    Some(text) if is_settled && !reloader.has_read(text).await => {}
                    _ => continue,
                }
            }
        }
        // It reports every problem itself.
        let _ = reloader.reload(false).await;
    }
}

/// Returns `None` if the file cannot be read, for example while it is replaced.
async fn read(path: &Path) -> Option<Vec<u8>> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(|| std::fs::read(path).ok())
        .await
        .ok()?
}
