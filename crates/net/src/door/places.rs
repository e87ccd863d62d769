//! Who holds a place at a door, and who loses it.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;

use crate::link::locked;

/// How many connections a door takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Of everybody.
    pub total: usize,
    /// Of one source.
    pub per_source: usize,
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// This machine, over a socket in the file system.
    Here,
    /// An address.
    V4(Ipv4Addr),
    /// A network of 64 bits, which is what one client has.
    V6(u64),
}

impl Source {
    /// The source that an address belongs to.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// The places of a door.
pub struct Places {
    bounds: Bounds,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    /// In the order in which they came.
    holders: BTreeMap<u64, Holder>,
    sources: HashMap<Source, usize>,
}

struct Holder {
    source: Source,
    /// Who it is, once it has shown that; a stranger until then.
    kept: Option<String>,
    /// Dropped when the place is lost.
    _lost: oneshot::Sender<()>,
}

impl Places {
    /// Free places.
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, taken: Mutex::default() })
    }

    /// A place for a connection from `source`: a free one, or a stranger's; none if nobody who holds one is a stranger.
    pub fn take(self: &Arc<Self>, source: Source) -> Option<Taking> {
        let mut taken = locked(&self.taken);
        let of_source = taken.sources.get(&source).copied().unwrap_or_default();
        let mut of_another = false;
        if of_source >= self.bounds.per_source {
            taken.free_from(source)?;
            of_another = true;
        } else if taken.holders.len() >= self.bounds.total {
            taken.free_from_greediest()?;
            of_another = true;
        }
        let (alive, lost) = oneshot::channel();
        let number = taken.next;
        taken.next += 1;
        taken.holders.insert(number, Holder { source, kept: None, _lost: alive });
        *taken.sources.entry(source).or_default() += 1;
        let place = Place { pass: Pass { places: self.clone(), number } };
        Some(Taking { place, lost, of_another })
    }

    /// How many are taken.
    pub fn count(&self) -> usize {
        locked(&self.taken).holders.len()
    }
}

impl Taken {
    /// Ends the stranger of this source that came first.
    fn free_from(&mut self, source: Source) -> Option<()> {
        let mut holders = self.holders.iter();
        let (number, _) = holders.find(|(_, holder)| holder.kept.is_none() && holder.source == source)?;
        let number = *number;
        self.remove(number);
        Some(())
    }

    /// The same of the source that holds the most places, among those with strangers; of several, the one that came first.
    fn free_from_greediest(&mut self) -> Option<()> {
        // The last of the greatest is taken.
        let strangers = self.holders.values().rev().filter(|holder| holder.kept.is_none());
        let source = strangers.map(|holder| holder.source).max_by_key(|source| self.sources.get(source))?;
        self.free_from(source)
    }

    fn remove(&mut self, number: u64) {
        let Some(holder) = self.holders.remove(&number) else { return };
        if let Some(count) = self.sources.get_mut(&holder.source) {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&holder.source);
            }
        }
    }

    /// Ends the one that came first of those kept under this name, while there are more than `most`.
    fn leave(&mut self, name: &str, most: usize) {
        let named = |holder: &Holder| holder.kept.as_deref() == Some(name);
        let numbers: Vec<u64> = self.holders.iter().filter(|(_, holder)| named(holder)).map(|(n, _)| *n).collect();
        for number in numbers.iter().take(numbers.len().saturating_sub(most)) {
            self.remove(*number);
        }
    }
}

/// A place that was just taken.
pub struct Taking {
    place: Place,
    lost: oneshot::Receiver<()>,
    /// It was somebody else's.
    pub(super) of_another: bool,
}

impl Taking {
    /// What ends when the place is lost, and the place.
    pub fn split(self) -> (oneshot::Receiver<()>, Place) {
        (self.lost, self.place)
    }
}

/// A place; free again when this is dropped.
pub struct Place {
    pass: Pass,
}

impl Place {
    /// What keeps it.
    pub fn pass(&self) -> Pass {
        self.pass.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        locked(&self.pass.places.taken).remove(self.pass.number);
    }
}

/// Keeps the place of a connection that has shown who it is; holds no place itself.
#[derive(Clone)]
pub struct Pass {
    places: Arc<Places>,
    number: u64,
}

impl Pass {
    /// The connection keeps its place from now on.
    pub fn keep(&self) {
        self.keep_few("", usize::MAX);
    }

    /// The same under a name, of whose connections the last `most` stay.
    pub fn keep_few(&self, name: &str, most: usize) {
        let mut taken = locked(&self.places.taken);
        match taken.holders.get_mut(&self.number) {
            Some(holder) if holder.kept.is_none() => holder.kept = Some(name.into()),
            _ => return,
        }
        taken.leave(name, most);
    }
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "place {}", self.number)
    }
}
