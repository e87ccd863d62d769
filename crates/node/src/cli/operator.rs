//! Verbs of the persons who act at a node.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::{Value, json};
use tally_audit::order::{Decision, SignedOrder};

use super::order::Signer;
use super::{NodeArgument, Printed, words};
use crate::control::Command;
use crate::directory::Directory;
use crate::failure::{self, Failure};
use crate::store::OperatorRole;
use crate::{keys, secret};

/// `tallystick operator …`.
#[derive(Subcommand)]
pub(super) enum OperatorVerb {
    /// Make an operator's key and tell the node its public half. The first operator acts at once, a later one when as many others
    /// as an approval takes have signed.
    Add {
        /// Operator's name.
        name: String,
        #[command(flatten)]
        node: NodeArgument,
        /// What the operator may do: approve sessions, or pass models into use.
        #[arg(long, value_enum, default_value = "development")]
        role: OperatorRole,
        /// File with the new operator's own passphrase; asked for if absent.
        #[arg(long, value_name = "FILE")]
        secret_file: Option<PathBuf>,
        /// An operator who signs at once, as `operator sign` does later.
        #[arg(long, value_name = "NAME")]
        signer: Option<String>,
        /// File with the signer's passphrase; asked for if absent.
        #[arg(long, value_name = "FILE", requires = "signer")]
        signer_secret_file: Option<PathBuf>,
    },
    /// Sign the change of an operator that waits.
    Sign {
        /// Whom it is about.
        name: String,
        #[command(flatten)]
        node: NodeArgument,
        #[command(flatten)]
        signer: Signer,
    },
    /// Sign that an operator acts in another role.
    Change {
        /// Whom it is about.
        name: String,
        #[command(flatten)]
        node: NodeArgument,
        /// The new role.
        #[arg(long, value_enum)]
        role: OperatorRole,
        #[command(flatten)]
        signer: Signer,
    },
    /// Sign that an operator acts here no more.
    End {
        /// Whom it is about.
        name: String,
        #[command(flatten)]
        node: NodeArgument,
        #[command(flatten)]
        signer: Signer,
    },
    /// List operators, and what waits for signatures.
    Show {
        #[command(flatten)]
        node: NodeArgument,
    },
    /// Write the orders that operators have signed, one a line, for `audit orders`.
    Orders {
        #[command(flatten)]
        node: NodeArgument,
        /// Those of this session; all if absent.
        #[arg(long, value_name = "NAME")]
        session: Option<String>,
        /// The file.
        #[arg(long, short, value_name = "FILE")]
        output: PathBuf,
    },
}

impl OperatorVerb {
    pub(super) fn run(self) -> Result<Printed, Failure> {
        match self {
            Self::Add { name, node, role, secret_file, signer, signer_secret_file } => {
                let (added, decision) = add(&node, &name, role, secret_file.as_deref())?;
                match signer {
                    Some(operator) => {
                        let passphrase = secret::read(signer_secret_file.as_deref(), &format!("operator-{operator}"))?;
                        let order = super::sign(&node.node, &operator, &passphrase, decision)?;
                        node.tell(&Command::OperatorSign { order })
                    }
                    None => Ok(added),
                }
                .map(words::plain)
            }
            Self::Sign { name, node, signer } => {
                let decision = waiting(&node, &name)?;
                // The signer sees what the node says that waits, before the key is asked for.
                eprintln!("signs: {}", in_words(&decision));
                sign(&node, &signer, decision)
            }
            Self::Change { name, node, role, signer } => {
                sign(&node, &signer, Decision::OperatorChange { name, role: role.to_string() })
            }
            Self::End { name, node, signer } => sign(&node, &signer, Decision::OperatorEnd { name }),
            Self::Show { node } => node.tell(&Command::OperatorList).map(words::plain),
            Self::Orders { node, session, output } => {
                let told = node.tell(&Command::OperatorOrders { session })?;
                let orders: Vec<SignedOrder> =
                    serde_json::from_value(told["orders"].clone()).map_err(failure::internal)?;
                write(&output, &orders)?;
                Ok(words::plain(json!({ "orders": orders.len(), "output": output })))
            }
        }
    }
}

/// Makes the key, and tells the node.
fn add(
    node: &NodeArgument,
    name: &str,
    role: OperatorRole,
    secret_file: Option<&Path>,
) -> Result<(Value, Decision), Failure> {
    crate::config::check_name(name).map_err(failure::usage)?;
    let passphrase = secret::read(secret_file, &format!("operator-{name}"))?;
    let path = Directory::new(&node.node).operator_key(name);
    let key = keys::create_operator(&path, &passphrase)?.verify_key();
    let added = node.tell(&Command::OperatorAdd { name: name.into(), key, role });
    if added.is_err() {
        // The node does not know the key, so it is of no use.
        let _ = std::fs::remove_file(&path);
    }
    Ok((added?, Decision::OperatorAdd { name: name.into(), key, role: role.to_string() }))
}

/// A change of the operators, for who is to sign it.
fn in_words(decision: &Decision) -> String {
    match decision {
        Decision::OperatorAdd { name, key, role } => format!("add operator `{name}`, role {role}, key {}", key.id()),
        Decision::OperatorChange { name, role } => format!("operator `{name}` gets the role {role}"),
        Decision::OperatorEnd { name } => format!("operator `{name}` is ended"),
        _ => "no change of the operators".into(),
    }
}

/// What waits for signatures about an operator.
fn waiting(node: &NodeArgument, name: &str) -> Result<Decision, Failure> {
    let listed = node.tell(&Command::OperatorList)?;
    let all = listed.as_array().into_iter().flatten();
    let found = all.filter(|one| one["operator"] == name).find_map(|one| one["waits"]["decision"].as_object());
    let found = found.ok_or_else(|| {
        failure::data(format!("nothing about operator `{name}` waits for a signature: see `tallystick operator show`"))
    })?;
    let decision: Decision = serde_json::from_value(found.clone().into()).map_err(failure::internal)?;
    let about = match &decision {
        Decision::OperatorAdd { name, .. } | Decision::OperatorChange { name, .. } | Decision::OperatorEnd { name } => {
            name
        }
        _ => "",
    };
    if about == name {
        return Ok(decision);
    }
    Err(failure::refused(format!(
        "what the node says waits for a signature is no change of operator `{name}`: it is not signed"
    )))
}

fn sign(node: &NodeArgument, signer: &Signer, decision: Decision) -> Result<Printed, Failure> {
    let order = signer.sign(&node.node, decision)?;
    node.tell(&Command::OperatorSign { order }).map(words::plain)
}

fn write(path: &Path, orders: &[SignedOrder]) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| failure::unwritable(format!("{}: {error}", path.display()));
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).map_err(cannot)?);
    for order in orders {
        let line = serde_json::to_string(order).map_err(failure::internal)?;
        writeln!(file, "{line}").map_err(cannot)?;
    }
    file.flush().map_err(cannot)
}
