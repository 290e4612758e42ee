//! The page: its files, in the binary.

use axum::{
    Router,
    extract::Request,
    http::{HeaderName, HeaderValue, header},
    middleware::{Next, from_fn},
    response::{IntoResponse as _, Response},
    routing::get,
};
use tower_http::compression::CompressionLayer;

/// What a browser may load for it: only what comes from here, and nothing from a word in the page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// Its files: the path, what it is, and the bytes.
macro_rules! files {
    ($($path:literal, $kind:expr, $file:literal;)*) => {
        const FILES: &[(&str, &str, &[u8])] = &[$(($path, $kind, include_bytes!(concat!("page/", $file))),)*];
    };
}

files! {
    "/", HTML, "index.html";
    "/page.css", CSS, "page.css";
    "/main.js", JAVASCRIPT, "main.js";
    "/service.js", JAVASCRIPT, "service.js";
    "/words.js", JAVASCRIPT, "words.js";
    "/elements.js", JAVASCRIPT, "elements.js";
    "/again.js", JAVASCRIPT, "again.js";
    "/draw.js", JAVASCRIPT, "draw.js";
    "/foresight.js", JAVASCRIPT, "foresight.js";
    "/watch.js", JAVASCRIPT, "watch.js";
    "/station.js", JAVASCRIPT, "station.js";
    "/pages.js", JAVASCRIPT, "pages.js";
}

/// The routes of the page.
pub(crate) fn router() -> Router {
    let file = |router: Router, (path, kind, bytes): &'static (&str, &str, &[u8])| {
        router.route(path, get(move || async move { ([(header::CONTENT_TYPE, *kind)], *bytes).into_response() }))
    };
    FILES.iter().fold(Router::new(), file).layer(from_fn(guarded)).layer(CompressionLayer::new())
}

async fn guarded(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let said: [(HeaderName, &'static str); 4] = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    for (name, value) in said {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
