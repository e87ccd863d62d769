//! The few things that a log needs of a file system.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Error, ErrorKind};
use std::path::{Path, PathBuf};

/// Folder, below the log's, of files that are not in place yet; it does not belong to the log.
pub const STAGED: &str = ".staged";

/// Files that are made durable at the same time.
const SYNC_THREADS: usize = 16;

/// What a folder holds: a name, and whether it is a folder itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Item {
    /// Name within the folder.
    pub name: String,
    /// True for a folder.
    pub folder: bool,
}

/// A place for a log's files; paths are below it.
pub trait Folder {
    /// The bytes of a file.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none, else the system's error.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// What lies in a folder, in no order.
    ///
    /// # Errors
    /// As [`Folder::read`].
    fn list(&self, path: &Path) -> io::Result<Vec<Item>>;

    /// Writes a file aside; nobody sees it yet.
    ///
    /// # Errors
    /// The system's error: for one, that the disk is full.
    fn stage(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;

    /// Puts a staged file in its place at once and whole.
    ///
    /// # Errors
    /// The system's error.
    fn reveal(&self, path: &Path) -> io::Result<()>;

    /// Makes durable what was staged and revealed since.
    ///
    /// # Errors
    /// The system's error.
    fn sync(&self) -> io::Result<()>;

    /// Removes a folder with what is in it; none is no error.
    ///
    /// # Errors
    /// The system's error.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A directory of the file system.
pub struct Directory {
    root: PathBuf,
    /// Files and folders that were changed since the last sync.
    changed: RefCell<BTreeSet<PathBuf>>,
}

impl Directory {
    /// The directory at `root`; it is made when the first file is written.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), changed: RefCell::default() }
    }

    /// The same place, for another thread: each makes durable what it has changed itself.
    pub fn beside(&self) -> Self {
        Self::new(&self.root)
    }

    fn staged(&self, path: &Path) -> PathBuf {
        let flat = path.to_string_lossy().replace('/', "-");
        self.root.join(STAGED).join(flat)
    }

    fn make(&self, folder: &Path) -> io::Result<()> {
        if !folder.is_dir() {
            fs::create_dir_all(folder)?;
            let new = folder.ancestors().take_while(|above| above.starts_with(&self.root));
            self.changed.borrow_mut().extend(new.map(Path::to_path_buf));
        }
        Ok(())
    }
}

impl Folder for Directory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(self.root.join(path))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Item>> {
        let item = |found: io::Result<fs::DirEntry>| {
            let found = found?;
            let name = found.file_name().into_string();
            let name = name.map_err(|name| Error::new(ErrorKind::InvalidData, format!("{name:?}: not UTF-8")))?;
            Ok(Item { name, folder: found.file_type()?.is_dir() })
        };
        fs::read_dir(self.root.join(path))?.map(item).collect()
    }

    fn stage(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.make(&self.root.join(STAGED))?;
        let staged = self.staged(path);
        fs::write(&staged, bytes)?;
        self.changed.borrow_mut().insert(staged);
        Ok(())
    }

    fn reveal(&self, path: &Path) -> io::Result<()> {
        let place = self.root.join(path);
        let folder = place.parent().unwrap_or(&self.root);
        self.make(folder)?;
        fs::rename(self.staged(path), &place)?;
        self.changed.borrow_mut().insert(folder.into());
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut changed = self.changed.borrow_mut();
        let paths: Vec<_> = changed.iter().collect();
        let sync = |paths: &[&PathBuf]| paths.iter().try_for_each(|path| File::open(path)?.sync_data());
        // Together: the disk's journal then writes once for many files instead of once for each.
        std::thread::scope(|scope| {
            let share = paths.len().div_ceil(SYNC_THREADS).max(1);
            let threads: Vec<_> = paths.chunks(share).map(|share| scope.spawn(move || sync(share))).collect();
            let done = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(ErrorKind::Other.into())));
            done.fold(Ok(()), io::Result::and)
        })?;
        changed.clear();
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_dir_all(self.root.join(path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}
