//! `tallystick serve`: opens the node, connects it, works until it is told to stop.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};

use tally_audit::RegistryParty;
use tally_net::door::Bounds;
use tally_net::{Dialer, Event, Link, Listener, Party, PeerKeys, Room, Tls};

use crate::api::{self, ApiSection, ServerTls, Service};
use crate::config::{Config, Role};
use crate::control::{self, Command, Reply};
use crate::descriptors;
use crate::directory::Directory;
use crate::engine::{Engine, Work};
use crate::failure::{self, Failure};
use crate::keys::NodeKeys;
use crate::log;
use crate::witness::Public;

/// Runs the node in `directory` until SIGTERM or Ctrl-C.
///
/// # Errors
/// Names what is missing or wrong: configuration, keys, certificate, port, disk.
pub(crate) fn serve(directory: Directory, passphrase: &[u8], until_stdin_closes: bool) -> Result<(), Failure> {
    let config = Config::read(&directory.config())?;
    let places = config.connections.within(descriptors::raise(), config.listeners())?;
    let keys = NodeKeys::read(&directory.node_keys(), passphrase)?;
    let tls = read_tls(&directory, &config, &keys)?;
    let party = party(&directory, &config, &keys, &tls)?;
    let scoring = config.api.as_ref().map(|section| scoring_tls(&directory, section, &tls)).transpose()?;
    let engine = Engine::open(directory.clone(), config.clone(), keys)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(failure::internal)?;
    let (sender, work) = channel();
    let submit = sender.clone();
    control::listen(&directory.path().join("control.sock"), places.control, move |command, reply| {
        // A node that stops drops the receiver; the caller then sees the reply channel close.
        let _ = submit.send(Work::Control(command, reply));
    })?;
    let link = connect(&runtime, &config, places.link.bounds(), (tls, party), sender.clone())?;
    if let Some(address) = link.local_address() {
        tracing::info!(%address, "listening");
        write_address(&directory, "address", &address.to_string())?;
    }
    if let (Some(section), Some(scoring)) = (&config.api, &scoring) {
        let service = Arc::new(Service::new(section, engine.gate(), sender.clone()));
        serve_scores(&runtime, &directory, (section.listen.as_str(), places.api.bounds()), scoring, service)?;
    }
    serve_log(&runtime, &directory, &config, places.log.bounds(), sender.clone())?;
    if until_stdin_closes {
        stop_with_parent(sender.clone());
    }
    runtime.spawn(stop_on_signal(sender));
    let outcome = engine.run(link, &work);
    // The socket of a stopped node would only mislead.
    let _ = std::fs::remove_file(directory.path().join("control.sock"));
    runtime.shutdown_background();
    Ok(outcome?)
}

/// Runs a public witness until SIGTERM or Ctrl-C.
///
/// # Errors
/// Names the address if it cannot be listened on.
pub(crate) fn serve_witness(
    public: Public,
    folder: &std::path::Path,
    address: &str,
    until_stdin_closes: bool,
) -> Result<(), Failure> {
    descriptors::raise();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(failure::internal)?;
    let address = public.listen(runtime.handle(), address)?;
    tracing::info!(%address, "listening");
    write_address(&Directory::new(folder), "address", &address.to_string())?;
    let (sender, work) = channel();
    if until_stdin_closes {
        stop_with_parent(sender.clone());
    }
    runtime.spawn(stop_on_signal(sender));
    // An error means that nobody is left who could say so.
    let _ = work.recv();
    runtime.shutdown_background();
    Ok(())
}

/// Serves the log's files, where the configuration says so.
fn serve_log(
    runtime: &tokio::runtime::Runtime,
    directory: &Directory,
    config: &Config,
    bounds: Bounds,
    sender: Sender<Work>,
) -> Result<(), Failure> {
    let Some(address) = &config.log.http else { return Ok(()) };
    let tokens = config.log.http_tokens.as_deref().map(|path| directory.resolve(path));
    let record = move |auditor: &str| {
        let (reply, mut answer) = Reply::channel();
        let gone = || failure::unavailable("the node is stopping");
        sender.send(Work::Control(Command::LogAccess { auditor: auditor.into() }, reply)).map_err(|_| gone())?;
        answer.blocking_recv().ok_or_else(gone)?.map(drop)
    };
    let service = log::Service::new(directory.log(), tokens, Box::new(record));
    let local = service.listen(runtime.handle(), address, bounds)?;
    tracing::info!(address = %local, "the log is served");
    write_address(directory, "log.address", &local.to_string())
}

fn read_tls(directory: &Directory, config: &Config, keys: &NodeKeys) -> Result<Tls, Failure> {
    let read = |path: &std::path::Path, remedy: &str| {
        let path = directory.resolve(path);
        std::fs::read_to_string(&path)
            .map_err(|error| failure::misconfigured(format!("{}: {error}: {remedy}", path.display())))
    };
    Ok(Tls {
        ca_pem: read(&config.files.ca_certificate, "copy it from the consortium")?,
        cert_pem: read(&config.files.certificate, "send request.json to the consortium and copy its certificate here")?,
        key_pem: keys.tls_key.to_string(),
    })
}

/// This node, and the peers that the registry names with their keys.
fn party(directory: &Directory, config: &Config, keys: &NodeKeys, tls: &Tls) -> Result<Party, Failure> {
    let registry = crate::registry::read(directory, config)?;
    let me = &config.node.name;
    let own = registry.party(me).and_then(|party| party.tls_key);
    let shown = tally_net::tls_key(&tls.cert_pem).map_err(failure::misconfigured)?;
    if own.is_some_and(|own| own != shown) {
        let text =
            format!("the registry names another TLS key for {me} than its certificate has: peers would refuse it");
        return Err(failure::misconfigured(format!(
            "{text}; put the certificate there that was issued on request.json"
        )));
    }
    for party in registry.parties.iter().filter(|party| party.tls_key.is_none()) {
        tracing::warn!(
            party = party.name,
            "the registry does not bind its TLS key: have the consortium issue its certificate anew (`ca issue`)"
        );
    }
    let peers = registry.parties.into_iter().filter(|party| party.name != *me);
    let keys_of = |party: &RegistryParty| PeerKeys { node: party.node_key, tls: party.tls_key };
    let peers = peers.map(|party| (party.name.clone(), keys_of(&party))).collect();
    Ok(Party { name: me.clone(), key: Arc::new(keys.signing()), peers })
}

fn connect(
    runtime: &tokio::runtime::Runtime,
    config: &Config,
    bounds: Bounds,
    (tls, party): (Tls, Party),
    sender: Sender<Work>,
) -> Result<Link, Failure> {
    let sink = move |event: Event, room: Room| {
        // The engine has stopped if nobody receives; so will this.
        let _ = sender.send(Work::Net(event, room));
    };
    let link = &config.link;
    match config.node.role {
        Role::Platform => {
            let address = link.listen.as_deref().unwrap_or_default();
            Listener::bind(runtime.handle(), (address, bounds), party, tls, sink)
        }
        Role::Bank => {
            let url = link.dial.as_deref().unwrap_or_default();
            let platform = link.platform.as_deref().unwrap_or_default();
            Dialer::start(runtime.handle(), url, party, platform, tls, sink)
        }
    }
    .map_err(|error| failure::misconfigured(format!("{}: {error}", config.node.name)))
}

/// PEM texts of the scoring service: its own certificate, or the node's.
fn scoring_tls(directory: &Directory, section: &ApiSection, node: &Tls) -> Result<ServerTls, Failure> {
    let read = |path: &std::path::Path| {
        let path = directory.resolve(path);
        std::fs::read_to_string(&path).map_err(|error| failure::misconfigured(format!("{}: {error}", path.display())))
    };
    let (certificate, key) = match (&section.certificate, &section.key) {
        (Some(certificate), Some(key)) => (read(certificate)?, read(key)?),
        _ => (node.cert_pem.clone(), node.key_pem.clone()),
    };
    Ok(ServerTls { certificate, key, client_ca: section.client_ca.as_deref().map(read).transpose()? })
}

fn serve_scores(
    runtime: &tokio::runtime::Runtime,
    directory: &Directory,
    listen: (&str, Bounds),
    tls: &ServerTls,
    service: Arc<Service>,
) -> Result<(), Failure> {
    let address = api::listen(runtime.handle(), listen, tls.config()?, api::router(service))?;
    tracing::info!(%address, "scoring service");
    write_address(directory, "api.address", &address.to_string())
}

/// Where the node listens, for whoever let the system choose the port.
fn write_address(directory: &Directory, file: &str, address: &str) -> Result<(), Failure> {
    let path = directory.path().join(file);
    std::fs::write(&path, address).map_err(|error| failure::unwritable(format!("{}: {error}", path.display())))
}

/// The end of standard input means that the parent has finished or died.
fn stop_with_parent(sender: Sender<Work>) {
    std::thread::spawn(move || {
        // An error means the same as the end.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = sender.send(Work::Stop);
    });
}

async fn stop_on_signal(sender: Sender<Work>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // Nobody to tell means that the engine has stopped already.
    let _ = sender.send(Work::Stop);
}
