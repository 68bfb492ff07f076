//! A disk for crash tests: a real folder, and a machine that loses power at operation N.
//!
//! Operations are counted. At the chosen one either the power goes (it and all later ones fail, and [`FaultyDisk::power_cut`]
//! then takes back what was never synced) or it alone fails with a given error. Taken back are: bytes written after the
//! last sync of a file, new names in folders that were not synced since, renames likewise, in reverse order. Whether a
//! name or bytes that were not synced survive is up to the real machine, so both are tried (see [`Unsynced`]).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::disk::{Disk, DiskFile, Entry, Metadata, RealDisk};

/// What becomes of things that were not synced when the power goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsynced {
    /// Names and bytes are gone.
    Lost,
    /// Names survive, bytes do not: files are cut.
    BytesLost,
    /// Names survive, and half of the unsynced bytes.
    Torn,
    /// All survives (the process was killed, the machine lived).
    Kept,
}

/// What happens at the chosen operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The machine stops.
    PowerCut,
    /// This operation fails once with this error; what a write had written before stays.
    Error(io::ErrorKind),
}

#[derive(Clone)]
pub(crate) struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

struct State {
    operations: u64,
    fault_at: u64,
    fault: Fault,
    dead: bool,
    /// Changes of names since the last sync of their folder, oldest first.
    names: Vec<NameChange>,
    /// Files with bytes that were not synced: path, synced length, length.
    bytes: Vec<(PathBuf, u64, u64)>,
}

enum NameChange {
    Made(PathBuf),
    MadeFolder(PathBuf),
    Renamed(PathBuf, PathBuf),
    /// Another file took the place of this one, which had these bytes.
    Replaced {
        from: PathBuf,
        to: PathBuf,
        old: Option<Vec<u8>>,
    },
}

impl NameChange {
    fn place(&self) -> &Path {
        match self {
            NameChange::Made(path) | NameChange::MadeFolder(path) | NameChange::Renamed(_, path) => path,
            NameChange::Replaced { to, .. } => to,
        }
    }
}

impl FaultyDisk {
    /// A disk whose operation number `fault_at` (from 1) goes wrong; 0 for never.
    pub(crate) fn new(fault_at: u64, fault: Fault) -> FaultyDisk {
        let (names, bytes) = (Vec::new(), Vec::new());
        FaultyDisk { state: Arc::new(Mutex::new(State { operations: 0, fault_at, fault, dead: false, names, bytes })) }
    }

    /// Operations so far.
    pub(crate) fn operations(&self) -> u64 {
        self.state.lock().unwrap().operations
    }

    /// The process is gone, the machine lives: all works again, and what was not synced still is not.
    pub(crate) fn restart_after_kill(&self) {
        let mut state = self.state.lock().unwrap();
        (state.dead, state.fault_at) = (false, 0);
    }

    /// Takes back what was not synced. To be called when nothing uses the disk any more.
    pub(crate) fn power_cut(&self, unsynced: Unsynced) {
        let mut state = self.state.lock().unwrap();
        state.dead = true;
        for (path, synced, length) in std::mem::take(&mut state.bytes) {
            let left = match unsynced {
                Unsynced::Lost | Unsynced::BytesLost => synced,
                Unsynced::Torn => synced + (length - synced) / 2,
                Unsynced::Kept => continue,
            };
            if path.exists() {
                let mode = fs::metadata(&path).unwrap().permissions();
                writable(&path);
                OpenOptions::new().write(true).open(&path).unwrap().set_len(left).unwrap();
                fs::set_permissions(&path, mode).unwrap();
            }
        }
        for change in std::mem::take(&mut state.names).into_iter().rev() {
            if unsynced != Unsynced::Lost {
                continue;
            }
            match change {
                NameChange::Renamed(from, to) => {
                    let _ = fs::rename(to, from);
                }
                NameChange::Replaced { from, to, old } => {
                    let _ = fs::rename(&to, from);
                    if let Some(old) = old {
                        fs::write(to, old).unwrap();
                    }
                }
                NameChange::Made(path) => {
                    let _ = fs::remove_file(path);
                }
                NameChange::MadeFolder(path) => {
                    let _ = fs::remove_dir_all(path);
                }
            }
        }
    }

    /// Counts an operation and lets the fault happen.
    fn step(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        if state.dead {
            return Err(io::Error::other("the power is off"));
        }
        state.operations += 1;
        if state.operations != state.fault_at {
            return Ok(());
        }
        match state.fault {
            Fault::PowerCut => {
                state.dead = true;
                Err(io::Error::other("the power goes"))
            }
            Fault::Error(kind) => Err(kind.into()),
        }
    }

    fn note(&self, change: NameChange) {
        self.state.lock().unwrap().names.push(change);
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    file: File,
    id: PathBuf,
}

impl Write for FaultyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Err(error) = self.disk.step() {
            // A full disk or a power cut comes in the middle of a write.
            let half = self.file.write(&bytes[..bytes.len() / 2])?;
            self.grew(half);
            return Err(error);
        }
        let count = self.file.write(bytes)?;
        self.grew(count);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl FaultyFile {
    fn grew(&self, count: usize) {
        let mut state = self.disk.state.lock().unwrap();
        if let Some(entry) = state.bytes.iter_mut().find(|entry| entry.0 == self.id) {
            entry.2 += count as u64;
        }
    }
}

impl DiskFile for FaultyFile {
    fn sync(&mut self) -> io::Result<()> {
        self.disk.step()?;
        self.disk.state.lock().unwrap().bytes.retain(|entry| entry.0 != self.id);
        Ok(())
    }
}

impl Disk for FaultyDisk {
    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.step()?;
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        self.note(NameChange::Made(path.to_path_buf()));
        self.state.lock().unwrap().bytes.push((path.to_path_buf(), 0, 0));
        Ok(Box::new(FaultyFile { disk: self.clone(), file, id: path.to_path_buf() }))
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        self.step()?;
        RealDisk.open(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        self.step()?;
        RealDisk.metadata(path)
    }

    fn set_read_only(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.set_read_only(path)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        self.state.lock().unwrap().bytes.retain(|entry| entry.0 != path);
        Ok(())
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.rename_new(from, to)?;
        let mut state = self.state.lock().unwrap();
        for entry in state.bytes.iter_mut().filter(|entry| entry.0 == from) {
            entry.0 = to.to_path_buf();
        }
        state.names.push(NameChange::Renamed(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    fn replace(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        let old = fs::read(to).ok();
        RealDisk.replace(from, to)?;
        let mut state = self.state.lock().unwrap();
        state.bytes.retain(|entry| entry.0 != to);
        for entry in state.bytes.iter_mut().filter(|entry| entry.0 == from) {
            entry.0 = to.to_path_buf();
        }
        state.names.push(NameChange::Replaced { from: from.to_path_buf(), to: to.to_path_buf(), old });
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.remove_dir(path)?;
        self.state.lock().unwrap().names.retain(|change| change.place() != path);
        Ok(())
    }

    fn before_commit(&self) -> io::Result<()> {
        self.step()
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        let is_new = !path.exists();
        RealDisk.create_dir(path)?;
        if is_new {
            self.note(NameChange::MadeFolder(path.to_path_buf()));
        }
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        self.state.lock().unwrap().names.retain(|change| change.place().parent() != Some(path));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        RealDisk.remove(path)?;
        let mut state = self.state.lock().unwrap();
        state.bytes.retain(|entry| entry.0 != path);
        state.names.retain(|change| change.place() != path);
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.step()?;
        RealDisk.list(path)
    }
}

fn writable(path: &Path) {
    let mut permissions = fs::metadata(path).unwrap().permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a test file in a temp folder")]
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions).unwrap();
}
