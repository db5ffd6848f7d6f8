//! An allocator for tests that counts what each thread allocates. A package of its own, because an allocator needs `unsafe`,
//! which the gateway forbids.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, with counters for each thread.
pub struct CountingAllocator;

/// The allocations of a piece of work.
#[derive(Clone, Copy, Debug)]
pub struct Allocations {
    /// The most bytes that were allocated at the same time, beyond those before.
    pub peak: usize,
    /// The bytes of all allocations together, which is a measure of the work.
    pub total: usize,
}

/// Does `work` and counts what this thread allocates meanwhile.
pub fn count<R>(work: impl FnOnce() -> R) -> (R, Allocations) {
    let (live, allocated) = (LIVE.get(), ALLOCATED.get());
    PEAK.set(live);
    let result = work();
    let allocations = Allocations {
        peak: usize::try_from(PEAK.get() - live).unwrap_or_default(),
        total: ALLOCATED.get() - allocated,
    };
    (result, allocations)
}

fn add(size: usize) {
    let live = LIVE.get() + size as isize;
    LIVE.set(live);
    PEAK.set(PEAK.get().max(live));
    ALLOCATED.set(ALLOCATED.get() + size);
}

fn remove(size: usize) {
    LIVE.set(LIVE.get() - size as isize);
}

// SAFETY: every call is passed on unchanged to the system's allocator. The counters have constant initial values and no
// destructors, so that they neither allocate nor fail while a thread ends.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        remove(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both blocks exist while the content is copied.
        add(size);
        remove(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
