//! HTTP: the live page of a run, metrics, notifications, and a detector as an endpoint.
//!
//! Nothing listens or connects unless it was asked for. Every message is untrusted and bounded. The training thread only
//! leaves figures in a `LiveRun`; threads of this folder do everything that may take time.

mod access;
mod events;
mod finished_run;
mod label_config;
mod label_studio;
mod listener;
mod live;
mod live_onlooker;
mod live_run;
mod metrics;
mod metrics_file;
mod model_endpoint;
mod notification;
mod request;
mod response;
mod run_page;
mod run_status;

pub use finished_run::watch_run;
pub use live::{LiveMeans, LiveOptions};
pub use model_endpoint::{EndpointOptions, serve_model};
pub use request::{Method, Request, RequestRefusal};
