//! A whole page around its main part.

use maud::DOCTYPE;
use maud::Markup;
use maud::html;

use crate::admin::page::assets;

/// The page of a title and its main part.
pub(super) fn layout(title: &str, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                link rel="icon" href=(assets::ICON.path());
                link rel="stylesheet" href=(assets::STYLE.path());
                script src=(assets::SCRIPT.path()) defer {}
                noscript { meta http-equiv="refresh" content="30"; }
            }
            body {
                p #lost .alert.bad role="alert" hidden {
                    "The server does not answer: what is shown is old."
                }
                (main)
            }
        }
    }
}
