//! job

use axum::extract::{Path, State};
use axum::response::Response;
use maud::html;

use super::shell::{NoPage, Section, Viewer, page};
use crate::store::Store;
use crate::web::api::Sources;

pub(super) async fn job<S: Store>(
    State(_sources): State<Sources<S>>,
    viewer: Viewer,
    Path(name): Path<String>,
) -> Result<Response, NoPage> {
    Ok(page(&viewer, Section::None, "job", &html! { h1 { (name) } }))
}
