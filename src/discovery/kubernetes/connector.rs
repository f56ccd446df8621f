//! The connection to a cluster's API server, made once for all of its watches.

use std::path::Path;
use std::time::Duration;

use kube::Client;
use kube::Config;
use kube::config::ExecInteractiveMode;
use kube::config::KubeConfigOptions;
use kube::config::Kubeconfig;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::config::kubernetes::Cluster;
use crate::discovery::kubernetes::fault;

/// How long files and exec plugins are waited for.
const DEADLINE: Duration = Duration::from_secs(15);

/// How long a connection to the API server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes connections as a cluster's settings say.
pub(super) struct Connector {
    cluster: Cluster,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Raised with each connection.
    generation: u64,
    client: Option<Client>,
    /// A connection in the making. It is waited for again and not begun anew, so that plugins which hang do not
    /// pile up.
    making: Option<JoinHandle<Result<Client, Box<str>>>>,
}

/// A connection, or what makes one when it is used.
pub(super) struct Connection {
    /// Sends requests.
    pub(super) client: Client,
    generation: u64,
}

impl Connector {
    /// For this cluster; nothing is opened yet.
    pub(super) fn new(cluster: Cluster) -> Self {
        Self {
            cluster,
            state: Mutex::default(),
        }
    }

    /// The settings.
    pub(super) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The connection that all watches share.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn connect(&self) -> Result<Connection, Box<str>> {
        let mut state = self.state.lock().await;
        if state.client.is_none() {
            let making = state.making.get_or_insert_with(|| {
                let cluster = self.cluster.clone();
                spawn_blocking(move || Handle::current().block_on(make(&cluster)))
            });
            let Ok(made) = timeout(DEADLINE, making).await else {
                return Err("the exec plugin of the kubeconfig does not end".into());
            };
            state.making = None;
            let made = made.unwrap_or_else(|error| Err(error.to_string().into()));
            state.client = Some(made?);
            state.generation += 1;
        }
        let client = state.client.clone();
        Ok(Connection {
            client: client.ok_or("no connection")?,
            generation: state.generation,
        })
    }

    /// Has the next connection made anew, from what the files have and the plugins return then: credentials
    /// may have been replaced since this one was.
    pub(super) async fn forget(&self, connection: &Connection) {
        let mut state = self.state.lock().await;
        if state.generation == connection.generation {
            state.client = None;
        }
    }
}

/// Reads the files, and runs the exec plugin if they name one.
async fn make(cluster: &Cluster) -> Result<Client, Box<str>> {
    let mut config = match &cluster.kubeconfig {
        Some(path) => of_kubeconfig(path, cluster.context.as_deref()).await?,
        None => Config::incluster().map_err(|error| -> Box<str> {
            format!("no service account of a pod, and no `kubeconfig`: {error}").into()
        })?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    // Requests are made again when it is their turn.
    config.default_retry = false;
    if let Some(exec) = &mut config.auth_info.exec {
        exec.interactive_mode = Some(ExecInteractiveMode::Never);
    }
    Client::try_from(config).map_err(|error| fault::reason(&error))
}

async fn of_kubeconfig(path: &Path, context: Option<&str>) -> Result<Config, Box<str>> {
    let fault = |error| {
        let reason = fault::reason_of_kubeconfig(&error);
        Box::from(format!("kubeconfig {}: {reason}", path.display()))
    };
    let kubeconfig = Kubeconfig::read_from(path).map_err(fault)?;
    let options = KubeConfigOptions {
        context: context.map(Into::into),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options);
    config.await.map_err(fault)
}
