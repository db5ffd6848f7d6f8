//! The open connections. Strangers cannot keep others out: when there is no room, the oldest connection that never carried a
//! valid key makes way, whatever it does, then one of a known client that is idle.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

use super::phase::{BUSY, Phase};
use crate::metrics;

/// How many connections of known clients are looked at to find an idle one. Bounds the work for each new connection.
const LOOKS: usize = 1024;
/// How many closed connections may be left in the queues.
const SLACK: usize = 64;

/// How many connections may be open.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    pub connections: usize,
    /// Of one address. Proxies that are trusted have no such limit.
    pub per_address: usize,
}

/// The open connections of one port. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    capacity: Capacity,
    /// The connections are counted in the metric.
    is_counted: bool,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    connections: HashMap<u64, Connection>,
    by_address: HashMap<IpAddr, usize>,
    /// Oldest first. Those that were closed or have become known are dropped when they are looked at.
    strangers: VecDeque<u64>,
    /// In the order in which they are looked at.
    known: VecDeque<u64>,
    last_id: u64,
}

#[derive(Debug)]
struct Connection {
    address: IpAddr,
    phase: Phase,
    evicted: CancellationToken,
}

/// An open connection, until it is dropped, even if its task panics.
#[derive(Debug)]
pub struct Admitted {
    registry: Registry,
    id: u64,
    pub phase: Phase,
    /// Cancelled when the connection must make way for another.
    pub evicted: CancellationToken,
}

impl Registry {
    pub fn new(capacity: Capacity, is_counted: bool) -> Self {
        Self(Arc::new(Shared {
            capacity,
            is_counted,
            open: Mutex::default(),
        }))
    }

    /// Admits a connection from `address`, or returns `None` if there is no room for it.
    pub fn admit(&self, address: IpAddr, is_trusted: bool) -> Option<Admitted> {
        let Capacity {
            connections,
            per_address,
        } = self.0.capacity;
        let mut open = self.open();
        let of_address = open.by_address.get(&address).copied().unwrap_or(0);
        let is_crowd = of_address >= per_address && !is_trusted;
        if is_crowd || (open.connections.len() >= connections && !open.evict()) {
            drop(open);
            metrics::shed("connections");
            return None;
        }
        let admitted = Admitted {
            registry: self.clone(),
            id: open.last_id + 1,
            phase: Phase::default(),
            evicted: CancellationToken::new(),
        };
        let connection = Connection {
            address,
            phase: admitted.phase.clone(),
            evicted: admitted.evicted.clone(),
        };
        open.last_id = admitted.id;
        open.insert(admitted.id, connection);
        if self.0.is_counted {
            metrics::connections().increment(1.0);
        }
        Some(admitted)
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admitted {
    /// Counts the connection under `address`, which a proxy has told. Returns whether that has room for it.
    pub fn is_from(&self, address: IpAddr, is_trusted: bool) -> bool {
        let per_address = self.registry.0.capacity.per_address;
        let mut open = self.registry.open();
        let of_address = open.by_address.get(&address).copied().unwrap_or(0);
        if of_address >= per_address && !is_trusted {
            drop(open);
            metrics::shed("connections");
            return false;
        }
        let Some(connection) = open.connections.get_mut(&self.id) else {
            return false;
        };
        let proxy = std::mem::replace(&mut connection.address, address);
        open.forget(proxy);
        *open.by_address.entry(address).or_default() += 1;
        true
    }
}

impl Open {
    fn insert(&mut self, id: u64, connection: Connection) {
        *self.by_address.entry(connection.address).or_default() += 1;
        self.connections.insert(id, connection);
        self.strangers.push_back(id);
        if self.strangers.len() + self.known.len() > 2 * self.connections.len() + SLACK {
            self.sort();
        }
    }

    /// Forgets what was closed.
    fn sort(&mut self) {
        while let Some(id) = self.strangers.pop_front() {
            self.known.push_back(id);
        }
        for id in std::mem::take(&mut self.known) {
            match self.connections.get(&id) {
                Some(connection) if connection.is_known() => self.known.push_back(id),
                Some(_) => self.strangers.push_back(id),
                None => {}
            }
        }
        self.strangers.make_contiguous().sort_unstable();
    }

    fn remove(&mut self, id: u64) -> Option<Connection> {
        let connection = self.connections.remove(&id)?;
        self.forget(connection.address);
        Some(connection)
    }

    /// Counts one connection less from `address`.
    fn forget(&mut self, address: IpAddr) {
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }

    /// Makes room by closing a connection. Returns whether there was one that may be closed.
    fn evict(&mut self) -> bool {
        let Some(id) = self.stranger().or_else(|| self.idle()) else {
            return false;
        };
        if let Some(connection) = self.remove(id) {
            connection.evicted.cancel();
            metrics::shed("idle_connection");
        }
        true
    }

    /// Returns the oldest connection that never carried a valid key.
    fn stranger(&mut self) -> Option<u64> {
        loop {
            let id = self.strangers.pop_front()?;
            match self.connections.get(&id) {
                Some(connection) if connection.is_known() => self.known.push_back(id),
                Some(_) => return Some(id),
                None => {}
            }
        }
    }

    /// Returns a connection of a known client that is idle.
    fn idle(&mut self) -> Option<u64> {
        for _ in 0..LOOKS {
            let id = self.known.pop_front()?;
            match self.connections.get(&id) {
                Some(connection) if connection.phase.get() == BUSY => self.known.push_back(id),
                Some(_) => return Some(id),
                None => {}
            }
        }
        None
    }
}

impl Connection {
    fn is_known(&self) -> bool {
        self.phase.recognition().is_known()
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.registry.open().remove(self.id);
        if self.registry.0.is_counted {
            metrics::connections().decrement(1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn registry(connections: usize, per_address: usize) -> Registry {
        let capacity = Capacity {
            connections,
            per_address,
        };
        Registry::new(capacity, false)
    }

    fn admit(registry: &Registry, is_known: bool) -> Admitted {
        let admitted = registry.admit(HOME, false).unwrap();
        if is_known {
            admitted.phase.recognition().set();
        }
        admitted
    }

    #[test]
    fn strangers_make_way_before_known_clients_and_busy_ones_never() {
        let registry = registry(3, 10);
        let known = admit(&registry, true);
        let busy = admit(&registry, true);
        let working = busy.phase.busy();
        let stranger = admit(&registry, false);
        // A client without a key could stay busy by not reading its rejection.
        let _is_rejected = stranger.phase.busy();
        let second = admit(&registry, true);
        assert!(stranger.evicted.is_cancelled() && !known.evicted.is_cancelled());
        let _second_works = second.phase.busy();
        let third = admit(&registry, true);
        assert!(known.evicted.is_cancelled());
        let _third_works = third.phase.busy();
        assert!(registry.admit(HOME, false).is_none());
        drop(working);
        assert!(registry.admit(HOME, false).is_some());
        assert!(busy.evicted.is_cancelled());
    }

    /// 64 connections were looked at, so strangers behind as many others stayed.
    #[test]
    fn all_strangers_make_way_before_any_known_client() {
        let registry = registry(1000, 2000);
        let known: Vec<_> = (0..500).map(|_| admit(&registry, true)).collect();
        let working: Vec<_> = known[..250].iter().map(|one| one.phase.busy()).collect();
        let strangers: Vec<_> = (0..500).map(|_| admit(&registry, false)).collect();
        let more: Vec<_> = (0..500).map(|_| admit(&registry, true)).collect();
        assert!(strangers.iter().all(|one| one.evicted.is_cancelled()));
        let is_open = |one: &Admitted| !one.evicted.is_cancelled();
        assert!(known.iter().chain(&more).all(is_open));
        drop(working);
    }

    #[test]
    fn one_address_has_a_limit_unless_it_is_a_trusted_proxy() {
        let registry = registry(10, 2);
        let first = registry.admit(HOME, false).unwrap();
        let _second = registry.admit(HOME, false).unwrap();
        assert!(registry.admit(HOME, false).is_none());
        assert!(registry.admit(HOME, true).is_some());
        drop(first);
        assert!(registry.admit(HOME, false).is_some());
        let other = [10, 0, 0, 1].into();
        assert!(registry.admit(other, false).is_some());
        // Clients behind a proxy are counted by their own addresses.
        let one = registry.admit(HOME, true).unwrap();
        let two = registry.admit(HOME, true).unwrap();
        let three = registry.admit(HOME, true).unwrap();
        assert!(one.is_from(other, false) && two.is_from(other, false));
        assert!(!three.is_from(other, false));
        drop((one, two, three));
        assert_eq!(registry.open().by_address.get(&other), None);
    }

    #[test]
    fn closed_connections_are_forgotten() {
        let registry = registry(10, 10);
        for _ in 0..10_000 {
            drop(registry.admit(HOME, false));
        }
        let open = registry.open();
        assert!(open.connections.is_empty() && open.by_address.is_empty());
        assert!(open.strangers.len() + open.known.len() <= SLACK + 2);
    }
}
