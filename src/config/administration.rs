//! What the commands need that talk to a running gateway or open its ledger. They read only their own parts of the
//! configuration, because the variables of the other parts are set only where the gateway runs.

use std::{net::SocketAddr, path::Path, sync::Arc};

use super::{
    AdminSettings, Environment, Problem, Teams, diagnostics::Diagnostics, governance,
    reader::Section, sections, server, tree,
};
use crate::{call::Secret, governance::StoreSettings, money::Budget, server::TlsSettings};

/// The admin port in the configuration at `path`, whatever else is wrong with the file.
pub fn admin_port(path: &Path, environment: &Environment) -> Option<AdminSettings> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut tree = tree::parse(&text, &mut Vec::new());
    environment.overlay(&mut tree);
    let diagnostics = Diagnostics::default();
    let section = Section::root(tree, &diagnostics).section("admin");
    sections::admin_for_clients(section, environment)
}

/// The settings of commands that use the admin API or open the ledger's file.
#[derive(Clone, Debug)]
pub struct Administration {
    pub listen: SocketAddr,
    pub token: Option<Secret>,
    pub tls: Option<TlsSettings>,
    pub store: StoreSettings,
    pub teams: Teams,
    /// Secrets of `server.sigv4_key_env`, as far as they are set here.
    pub sigv4_keys: Vec<Secret>,
    /// The budgets of the configuration; a virtual key brings its own.
    pub budgets: Vec<Arc<Budget>>,
}

/// Reads the parts of the file at `path` that these commands need.
///
/// # Errors
/// Every problem in these parts.
pub fn administration(
    path: &Path,
    environment: &Environment,
) -> Result<Administration, Vec<Problem>> {
    let mut problems = Vec::new();
    let text = super::read_file(path)?;
    let mut tree = tree::parse(&text, &mut problems);
    environment.overlay(&mut tree);
    let diagnostics = Diagnostics::default();
    let mut root = Section::root(tree, &diagnostics);
    let admin = sections::admin_for_clients(root.section("admin"), environment);
    let sigv4_keys = server::set_secrets(&mut root.section("server"), "sigv4_key_env", environment);
    let (store, _) = governance::store(root.section("store"));
    let teams = governance::teams(root.named_sections("teams"));
    let mut budgets = governance::gateway(&mut root).budgets;
    budgets.extend(teams.values().flat_map(|team| team.budgets.iter().cloned()));
    for (kind, sections) in [
        ("key", root.named_sections("keys")),
        ("model", root.named_sections("models")),
    ] {
        for (name, mut section) in sections {
            budgets.extend(governance::budgets(&mut section, &format!("{kind}:{name}")));
        }
    }
    problems.extend(diagnostics.into_parts().0);
    match admin {
        Some(AdminSettings {
            listen, token, tls, ..
        }) if problems.is_empty() => Ok(Administration {
            listen,
            token,
            tls,
            store,
            teams,
            sigv4_keys,
            budgets,
        }),
        _ => Err(problems),
    }
}
