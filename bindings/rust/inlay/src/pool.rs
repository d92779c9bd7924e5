use crate::native::params;
use crate::{Arena, File, KvType, Model, Result};

/// How a [`Pool`] is made.
#[derive(Clone, Copy, Debug, Default)]
pub struct PoolOptions {
    /// Room for so many, rounded up to pages of 256; at least 1.
    pub tokens: u64,
    /// That of all its sessions.
    pub kv_type: KvType,
    /// Pages have room for the MTP head's own; as in all its sessions.
    pub mtp: bool,
}

impl PoolOptions {
    fn plain(&self, arena: &Option<Arena>) -> inlay_sys::inlay_pool_params {
        let mut given = params!(inlay_pool_params);
        given.tokens = self.tokens;
        given.kv_type = self.kv_type.raw();
        given.mtp = self.mtp as u32;
        (given.arena, given.arena_bytes) = Arena::parts(arena);
        given
    }
}

/// Every byte of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolPlan {
    /// Bytes of host memory.
    pub host: u64,
    /// Bytes of device memory.
    pub device: u64,
    /// Pages of all of it.
    pub pages: u64,
    /// Tokens of a page.
    pub page_tokens: u64,
}

/// KV pages that sessions share: each takes pages as its timeline grows, and forks have the full pages of what they have
/// in common once. Any number of threads may use it at once, and sessions of several threads its pages.
///
/// ```
/// # fn main() -> inlay::Result<()> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../examples/model/tavern.gguf");
/// # let runtime = inlay::Runtime::new()?;
/// # let model = inlay::Model::open(&runtime, path)?;
/// let pool = inlay::Pool::new(&model, &inlay::PoolOptions { tokens: 4096, ..Default::default() })?;
/// let mut innkeeper = inlay::Session::in_pool(&pool, &inlay::SessionOptions::new())?;
/// innkeeper.prefill(&model.tokenizer().unwrap().encode("It is a rainy evening. ", false)?)?;
/// let share = inlay::ForkMemory { share_scratch: true, ..Default::default() };
/// let mut guest = innkeeper.fork_with(share)?; // stands where the innkeeper stands
/// inlay::Session::begin_steps(&mut [&mut innkeeper, &mut guest], &[1, 2])?;
/// innkeeper.finish()?;
/// # Ok(())
/// # }
/// ```
///
/// ```compile_fail,E0505
/// # fn main() -> inlay::Result<()> {
/// let runtime = inlay::Runtime::new()?;
/// let model = inlay::Model::open(&runtime, "tavern.gguf")?;
/// let options = inlay::PoolOptions { tokens: 1024, ..Default::default() };
/// let pool = inlay::Pool::new(&model, &options)?;
/// let session = inlay::Session::in_pool(&pool, &inlay::SessionOptions::new())?;
/// drop(pool); // the session borrows it
/// println!("{}", session.position());
/// # Ok(())
/// # }
/// ```
pub struct Pool<'m> {
    pub(crate) handle: *mut inlay_sys::inlay_pool,
    model: &'m Model<'m>,
    // Given back after the pool, for it lives in it.
    _arena: Option<Arena>,
}

// SAFETY: the header lets any number of threads use a pool at once.
unsafe impl Send for Pool<'_> {}
unsafe impl Sync for Pool<'_> {}

impl Drop for Pool<'_> {
    fn drop(&mut self) {
        // SAFETY: made by create, given back once, here; its sessions, which borrow it, are gone.
        unsafe { inlay_sys::inlay_pool_destroy(self.handle) }
    }
}

impl<'m> Pool<'m> {
    /// All of the pool's memory is taken here.
    pub fn new(model: &'m Model<'_>, options: &PoolOptions) -> Result<Pool<'m>> {
        Pool::create(model, options, None)
    }

    /// A pool that lives in memory of yours, of [`PoolPlan::host`] bytes.
    pub fn in_arena(model: &'m Model<'_>, options: &PoolOptions, arena: Arena) -> Result<Pool<'m>> {
        Pool::create(model, options, Some(arena))
    }

    fn create(model: &'m Model<'_>, options: &PoolOptions, arena: Option<Arena>) -> Result<Pool<'m>> {
        let given = options.plain(&arena);
        let mut handle = std::ptr::null_mut();
        // SAFETY: the arena is kept for as long as the pool is.
        model.runtime.check(unsafe { inlay_sys::inlay_pool_create(model.handle, &given, &mut handle) })?;
        Ok(Pool { handle, model, _arena: arena })
    }

    /// The model that it borrows.
    pub fn model(&self) -> &'m Model<'m> {
        self.model
    }

    /// Pages that nobody has.
    pub fn free_pages(&self) -> u64 {
        // SAFETY: the handle lives.
        unsafe { inlay_sys::inlay_pool_free_pages(self.handle) }
    }
}

impl File<'_> {
    /// What such a pool will take, from the header alone. Takes nothing.
    pub fn plan_pool(&self, options: &PoolOptions) -> Result<PoolPlan> {
        let mut plan = params!(inlay_pool_plan);
        // SAFETY: the handle lives.
        let status =
            unsafe { inlay_sys::inlay_file_plan_pool(self.handle, &options.plain(&None), &mut plan) };
        self.runtime.check(status)?;
        let inlay_sys::inlay_pool_plan { host, device, pages, page_tokens, .. } = plan;
        Ok(PoolPlan { host, device, pages, page_tokens })
    }
}
