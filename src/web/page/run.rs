//! run

use axum::extract::{Path, State};
use axum::response::Response;
use maud::html;

use super::shell::{NoPage, Section, Viewer, page};
use crate::store::Store;
use crate::web::api::Sources;

pub(super) async fn run<S: Store>(
    State(_sources): State<Sources<S>>,
    viewer: Viewer,
    Path(name): Path<String>,
) -> Result<Response, NoPage> {
    Ok(page(&viewer, Section::None, "run", &html! { h1 { (name) } }))
}
