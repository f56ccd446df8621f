//! `[kubernetes.NAME]` of `meridian.toml`, and `source = { kubernetes = … }` of a pool.

use std::sync::Arc;

use crate::config::keys;
use crate::config::kubernetes::Cluster;
use crate::config::kubernetes::IS_SUPPORTED;
use crate::config::kubernetes::Kind;
use crate::config::kubernetes::Object;
use crate::config::model::PoolSource;
use crate::config::names::Name;
use crate::config::names::Names;
use crate::config::units;
use crate::config::written::Item;
use crate::config::written::Table;

/// What `kubernetes` of a source looks like.
const CLUSTER: &str = "the name of a [kubernetes.NAME] of meridian.toml";

/// What `source` looks like.
pub(super) const KUBERNETES_SOURCE: &str =
    "a table such as { kubernetes = \"us-west\", service = \"prod/app\" }";

/// Resolves the clusters. They are returned where this program cannot watch them too, so that a pool that
/// names one is no second fault.
pub(super) fn clusters(top: &Table<'_>) -> Vec<Cluster> {
    let (names, tables) = Names::with_tables(top, "kubernetes", &keys::KUBERNETES);
    let both = names.iter().zip(&tables);
    both.filter_map(|(name, table)| cluster(name, table.as_ref()?))
        .collect()
}

fn cluster(name: &Name<'_>, table: &Table<'_>) -> Option<Cluster> {
    if !IS_SUPPORTED {
        table.fault(
            "cannot be used: this build has no Kubernetes support: build with `--features kubernetes`",
        );
    }
    let cluster = units::plain_name(name.text);
    if cluster.is_none() {
        name.fault(&format!(
            "is no fitting name, expected {}",
            units::PLAIN_NAME
        ));
    }
    let context = table.read("context", |item| item.text("the name of a context"));
    let context = context.filter(|context| !context.is_empty());
    if let (Some(item), Some(_)) = (table.get("context"), context)
        && table.is_missing("kubeconfig")
    {
        item.fault("stands without `kubeconfig`, expected both or none");
    }
    Some(Cluster {
        name: cluster?,
        kubeconfig: table.read("kubeconfig", Item::path),
        context: context.map(Into::into),
    })
}

/// The object that a pool's `source` names.
pub(super) fn kubernetes_source(item: &Item<'_>) -> Option<PoolSource> {
    let table = item.table(&keys::SOURCE, "")?;
    let cluster = table.require("kubernetes", CLUSTER, |item| {
        item.parse(CLUSTER, units::plain_name)
    });
    table.require_one_of(
        &["service", "gateway", "ingress"],
        &format!("exactly one of them, {}", units::KUBERNETES_NAME),
    );
    let mut found: Option<(Kind, _)> = None;
    for kind in Kind::ALL {
        let Some(item) = table.get(kind.as_str()) else {
            continue;
        };
        if let Some((other, _)) = found {
            let other = other.as_str();
            item.fault(&format!(
                "stands beside `{other}`, expected only one of them"
            ));
        }
        found = Some((
            kind,
            item.parse(units::KUBERNETES_NAME, units::kubernetes_name),
        ));
    }
    let (kind, name) = found?;
    let (namespace, name) = name?;
    let object = Object {
        cluster: cluster?,
        kind,
        namespace,
        name,
    };
    Some(PoolSource::Kubernetes {
        object: Arc::new(object),
        place: table.get("kubernetes")?.place(),
    })
}
