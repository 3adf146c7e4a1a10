//! The page: what the daemon knows, as HTML made here. It works without script; a little script keeps it current.
//!
//! Each file shows one address and asks the store for no more than it shows. Everything that comes from elsewhere is escaped by
//! the templates. What people do is a form that says why and leads back to what came of it (`actions.rs`).

mod actions;
mod assets;
mod filter;
mod job;
mod overview;
mod parts;
mod run;
mod runs;
mod shell;
mod sign_in;
mod table;
mod timeline;

use std::sync::Arc;

use axum::routing::{get, post};

pub(super) use self::assets::is_asset;
pub(super) use self::shell::{not_found, wants_a_page};
pub(super) use self::sign_in::{SIGNING, lead_to_sign_in, signed_out};
use super::api::Route;
use crate::engine::written::Written;
use crate::store::Store;

/// What only the page shows of the configuration in force.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shown {
    /// In which file and on which line each job is written.
    pub written: Arc<Written>,
    /// RunTask calls a second, of each account and region.
    pub launch_rate: f64,
    /// RunTask calls at once, likewise.
    pub launch_burst: u32,
    /// The region of jobs that name no target.
    pub region: Option<String>,
}

/// Every address of the page.
pub(super) fn routes<S: Store>() -> Vec<Route<S>> {
    vec![
        ("get", "/", get(overview::overview::<S>)),
        ("get", "/timeline", get(timeline::timeline::<S>)),
        ("get", "/runs", get(runs::runs::<S>)),
        ("get", "/runs/{run}", get(run::run::<S>)),
        ("get", "/jobs/{job}", get(job::job::<S>)),
        ("post", "/pause", post(actions::pause_all::<S>)),
        ("post", "/resume", post(actions::resume_all::<S>)),
        ("post", "/jobs/{job}/trigger", post(actions::trigger::<S>)),
        ("post", "/jobs/{job}/pause", post(actions::pause::<S>)),
        ("post", "/jobs/{job}/resume", post(actions::resume::<S>)),
        ("post", "/runs/{run}/cancel", post(actions::cancel::<S>)),
        ("post", "/runs/{run}/retry", post(actions::retry::<S>)),
        ("get", sign_in::PATH, get(sign_in::form).post(sign_in::sign_in)),
        ("post", sign_in::PATH_OUT, post(sign_in::sign_out)),
        ("get", "/assets/{name}", get(assets::asset)),
    ]
}
