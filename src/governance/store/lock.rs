//! Keeps a second gateway from using the same database.

use std::{
    fs::File,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// How long to wait for another process. A command of the CLI holds the lock for a moment, a gateway for good.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// Permissions of a new database. It has prices, names of keys, and digests of their secrets.
const PRIVATE: u32 = 0o600;

/// Creates the database if it does not exist, and locks it until the returned file is closed. The lock is on the file
/// itself, so that a symbolic link or a bind mount leads to the same one. SQLite uses locks of another kind.
///
/// # Errors
/// Returns the reason if the file cannot be opened for writing, or another process keeps the lock.
pub fn take(path: &Path) -> Result<File, String> {
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE)
        .open(path)
        .map_err(|error| {
            let advice = match File::open(path) {
                Ok(_) => "it may be read but not written; grant lintel's user write permission"
                    .to_owned(),
                Err(_) => error.to_string(),
            };
            format!("{}: {advice}", path.display())
        })?;
    let deadline = Instant::now() + PATIENCE;
    let mut was_told = false;
    while file.try_lock().is_err() {
        if Instant::now() >= deadline {
            return Err(format!(
                "{}: another lintel runs with this ledger; stop it, or set another store.url",
                path.display()
            ));
        }
        if !std::mem::replace(&mut was_told, true) {
            tracing::info!(
                path = %path.display(),
                "waiting for another lintel to close the ledger"
            );
        }
        thread::sleep(PAUSE);
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, symlink};

    use super::*;

    /// The lock was on the name as it was written, so a symbolic link let two gateways share a ledger.
    #[test]
    fn lock_holds_for_every_name_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let (name, link) = (folder.path().join("a.db"), folder.path().join("b.db"));
        let held = take(&name).unwrap();
        assert_eq!(held.metadata().unwrap().mode() & 0o777, PRIVATE);
        symlink(&name, &link).unwrap();
        let other = File::options().write(true).open(&link).unwrap();
        assert!(other.try_lock().is_err());
        let waits = thread::spawn(move || take(&link).is_ok());
        drop(held);
        assert!(waits.join().unwrap(), "a lock that is released soon");
    }
}
