//! `GET /v1/openapi.json`: the interface in OpenAPI 3.1, beside the code that it describes; tests hold the two together.

/// The document.
pub(crate) fn text() -> &'static str {
    include_str!("openapi.json")
}
