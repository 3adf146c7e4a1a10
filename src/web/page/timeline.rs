//! timeline

use axum::extract::State;
use axum::response::Response;
use maud::html;

use super::shell::{NoPage, Section, Viewer, page};
use crate::store::Store;
use crate::web::api::Sources;

pub(super) async fn timeline<S: Store>(State(_sources): State<Sources<S>>, viewer: Viewer) -> Result<Response, NoPage> {
    Ok(page(&viewer, Section::None, "timeline", &html! { h1 { "timeline" } }))
}
