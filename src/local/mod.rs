//! An endpoint on loopback that speaks the ECS API and runs tasks as processes of this machine.
//!
//! It exists so that a schedule can be tried, shown and tested with nothing but the product itself: the daemon talks to it through
//! the real AWS SDK over real HTTP, and what comes back obeys the rules of ECS that a scheduler can stumble over: client tokens with
//! their life time, `failures` in a 200, MISSING, SIGTERM then SIGKILL, exit codes that are absent. Any AWS SDK can drive it.
//!
//! It imports nothing of the engine and nothing of the ECS adapter. It stands for the other side of the wire, and code shared with
//! ours would share our mistakes.
//!
//! How a request travels:
//!
//! * `server` accepts connections, `wire` turns HTTP into an operation and its answer into HTTP;
//! * `operations` (tasks) and `catalogue` (clusters, task definitions) hold one function an operation; each works on the one `State`
//!   of `endpoint` under one lock, and each takes the time as an argument;
//! * `tasks`, `tokens`, `definitions`, `trouble`, `names` and `paging` are the rules: plain values that never wait, log or read a
//!   clock;
//! * `launch` decides what a RunTask creates, `extras` checks what makes no difference here, `supervise` then owns a task until it
//!   has stopped, `process` one process of it;
//! * `journal` is the memory that outlives a crash, and `orphans` ends what the crash left running.
//!
//! It refuses every address that is not loopback, and every request that names a foreign host, because whoever reaches it can run
//! commands as its user. It checks no signatures, enforces no quotas and starts no images; `settings::Outcome` scripts the trouble
//! that real ECS makes by itself.

mod catalogue;
mod clock;
mod definitions;
mod endpoint;
mod extras;
mod journal;
mod launch;
mod names;
mod operations;
mod orphans;
mod paging;
mod process;
mod server;
mod settings;
mod supervise;
mod tasks;
#[cfg(test)]
mod tests;
mod tokens;
mod topic;
mod trouble;
mod wire;

pub use journal::JournalError;
pub use server::{BindError, Handle, Server};
pub use settings::{Container, Outcome, Settings, TaskDefinition};
