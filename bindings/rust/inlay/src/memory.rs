use crate::{Error, Pool, Result, Session, Status};
use std::alloc::Layout;
use std::ptr::NonNull;

/// Memory that a session, a model or a pool is to live in, aligned as it needs; zeroed, so that no page fault waits in a
/// frame.
pub struct Arena {
    memory: NonNull<u8>,
    layout: Layout,
}

// SAFETY: plain memory with one owner, which lends it to nobody.
unsafe impl Send for Arena {}
unsafe impl Sync for Arena {}

impl Arena {
    /// Takes `bytes` bytes; [`Status::OutOfMemory`] where there are none.
    pub fn new(bytes: u64) -> Result<Arena> {
        let wrong = |_| Error::new(Status::InvalidArgument, "an arena's size is out of range");
        let bytes = usize::try_from(bytes).map_err(|_| wrong(()))?.max(1);
        let layout = Layout::from_size_align(bytes, 64).map_err(|_| wrong(()))?;
        // SAFETY: the size is not zero.
        let memory = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) });
        let memory = memory.ok_or_else(|| Error::new(Status::OutOfMemory, "no memory for an arena"))?;
        Ok(Arena { memory, layout })
    }

    /// Its size in bytes.
    pub fn bytes(&self) -> u64 {
        self.layout.size() as u64
    }

    /// Address and size as the header's structs take them; null and 0 where there is none.
    pub(crate) fn parts(arena: &Option<Arena>) -> (*mut std::ffi::c_void, u64) {
        arena.as_ref().map_or((std::ptr::null_mut(), 0), |it| (it.memory.as_ptr().cast(), it.bytes()))
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: of this layout, given back once, here.
        unsafe { std::alloc::dealloc(self.memory.as_ptr(), self.layout) }
    }
}

/// Where a session lives and works; the default is memory of Inlay's own.
#[derive(Default)]
pub struct SessionMemory<'m, 's> {
    /// Of [`MemoryPlan::session_host`](crate::MemoryPlan) bytes.
    pub state: Option<Arena>,
    /// Of [`MemoryPlan::scratch_host`](crate::MemoryPlan) bytes.
    pub scratch: Option<Arena>,
    /// KV pages come from here; with one a feed that needs more pages than are free is [`Status::MemoryLimit`] and
    /// leaves the session as it was.
    pub pool: Option<&'m Pool<'m>>,
    /// Work in the scratch of this session, which has the same model and equal options, and both or neither a pool.
    /// While one of them has work under way, the others refuse theirs with [`Status::WrongState`]; on two threads at
    /// once they refuse with [`Status::Busy`].
    pub share_scratch: Option<&'s mut Session<'m>>,
}

/// Where a fork lives and works; the default is memory of Inlay's own, as much as the forked session has.
#[derive(Default)]
pub struct ForkMemory {
    /// Work in the same scratch as the session that is forked, with the rules of [`SessionMemory::share_scratch`].
    pub share_scratch: bool,
    /// As in [`SessionMemory`].
    pub state: Option<Arena>,
    /// As in [`SessionMemory`].
    pub scratch: Option<Arena>,
}
