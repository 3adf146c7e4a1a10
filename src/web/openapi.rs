//! The description of the API for machines, `openapi.json`: written by hand, and held to the routes by a test here and to real
//! answers by `tests/it/openapi.rs`.

use axum::http::header;
use axum::response::{IntoResponse as _, Response};

const OPENAPI: &str = include_str!("openapi.json");

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::api::routes;
    use super::*;
    use crate::store::memory::MemoryStore;

    fn described() -> Value {
        serde_json::from_str(OPENAPI).unwrap()
    }

    /// Method and path of each operation.
    fn operations(api: &Value) -> Vec<(String, String, &Value)> {
        let paths = api["paths"].as_object().unwrap().iter();
        let of_path = paths.flat_map(|(path, methods)| {
            methods
                .as_object()
                .unwrap()
                .iter()
                .map(move |(method, operation)| (method.clone(), path.clone(), operation))
        });
        of_path.filter(|(method, ..)| method != "parameters").collect()
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let api = described();
        let routes = routes::<MemoryStore>();
        let is: BTreeSet<(String, String)> =
            routes.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
        let said = operations(&api).into_iter().map(|(method, path, _)| (method, path)).collect();
        assert_eq!(is, said);
        assert_eq!(is.len(), routes.len());
    }

    #[test]
    fn every_operation_has_its_refusals() {
        let api = described();
        for (method, path, operation) in operations(&api) {
            let codes: BTreeSet<&str> =
                operation["responses"].as_object().unwrap().keys().map(String::as_str).collect();
            let is_open = path == "/healthz" || path == "/readyz";
            assert!(codes.contains("200") && (is_open || codes.contains("401")), "{method} {path}: {codes:?}");
            assert_eq!(codes.contains("403"), method == "post", "{method} {path}");
            assert_eq!(operation["requestBody"].is_object(), method == "post", "{method} {path}");
            assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{method} {path}");
            for name in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
                let parameters = operation["parameters"].as_array().unwrap();
                let is_named = parameters.iter().any(|parameter| {
                    let pointer = parameter["$ref"].as_str().unwrap_or_default();
                    let parameter = api.pointer(pointer.trim_start_matches('#')).unwrap_or(parameter);
                    (&parameter["name"], &parameter["in"]) == (&name.into(), &"path".into())
                });
                assert!(is_named, "{method} {path}: {name}");
            }
        }
    }

    #[test]
    fn its_version_is_that_of_the_program() {
        assert_eq!(described()["info"]["version"], env!("CARGO_PKG_VERSION"));
    }
}
