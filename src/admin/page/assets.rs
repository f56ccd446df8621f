//! Style, script and icon, which the page loads from this server.
//!
//! Their paths have a hash of their content, so that browsers may keep them, and get those of a new release.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;

use crate::admin::failure::Failure;
use crate::base::fnv::fnv1a;

/// A file.
pub struct Asset {
    extension: &'static str,
    media_type: &'static str,
    text: &'static str,
}

/// How the page looks.
pub const STYLE: Asset = Asset {
    extension: "css",
    media_type: "text/css; charset=utf-8",
    text: include_str!("style.css"),
};

/// How the page follows what happens.
pub const SCRIPT: Asset = Asset {
    extension: "js",
    media_type: "text/javascript; charset=utf-8",
    text: include_str!("page.js"),
};

/// What browsers show beside the title.
pub const ICON: Asset = Asset {
    extension: "svg",
    media_type: "image/svg+xml",
    text: include_str!("icon.svg"),
};

impl Asset {
    fn name(&self) -> String {
        format!("{:016x}.{}", fnv1a(self.text.as_bytes()), self.extension)
    }

    /// Where the page finds it.
    pub fn path(&self) -> String {
        format!("/assets/{}", self.name())
    }
}

/// `GET /assets/{name}`.
pub async fn get(Path(name): Path<String>) -> Response {
    let Some(asset) = [STYLE, SCRIPT, ICON]
        .into_iter()
        .find(|asset| asset.name() == name)
    else {
        return Failure::new(StatusCode::NOT_FOUND, "no such file").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, asset.text).into_response()
}
