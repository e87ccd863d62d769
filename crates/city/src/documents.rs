//! The signed documents of a city: sharing list, consents, and the keys of those who sign them.

use std::io::Write as _;
use std::path::Path;

use rayon::prelude::*;
use tally_audit::NamedKey;
use tally_crypto::seed::Seed;
use tally_crypto::sign::{Envelope, SigningKey};
use tally_crypto::transcript::Digest;
use tally_data::{Dictionary, FieldDefinition};
use tally_model::text::Text;
use tally_policy::{
    Consent, ConsentEvent, Day, EventKind, Fetch, FieldKind, Form, Level, ListField, Mode, Notice, Onward, Purpose,
    SharingList, Signer, SignerRole, SubjectKind,
};

use crate::table::{Cells, Table};
use crate::{Book, City};

/// 2026-01-01, the day from which consents hold, and 2036-01-01, Unix milliseconds.
const WINDOW: (i64, i64) = (1_767_225_600_000, 2_082_758_400_000);
const PURPOSES: [Purpose; 3] = [Purpose::JointModelling, Purpose::LoanUnderwriting, Purpose::PostLoanMonitoring];
const NOTICE: &str =
    "Your tax, court, utility, insurance and procurement data are used in binned form, together, for financing only.";

pub(crate) fn write(city: &City, directory: &Path) -> std::io::Result<()> {
    let registrar = key(&city.seed, "registrar", "");
    let authority = key(&city.seed, "list-authority", "");
    let put = |name: &str, text: String| std::fs::write(directory.join(name), text);
    put("registrar.json", json(&named("registrar", &registrar))?)?;
    put("authority.json", json(&named("list-authority", &authority))?)?;
    put("list.json", json(&signed(sharing_list(&city.platform).envelope(), &[&authority])?)?)?;
    let fields = city.banks.first().map(|book| dictionary(&book.table)).unwrap_or_default();
    put("dictionary.json", json(&fields)?)?;
    for book in &city.banks {
        consents(city, book, &registrar, directory)?;
    }
    Ok(())
}

fn consents(city: &City, book: &Book, registrar: &SigningKey, directory: &Path) -> std::io::Result<()> {
    let document = |row: &u32| {
        let subject = &city.platform.ids[*row as usize];
        let enterprise = key(&city.seed, "enterprise", subject);
        let consent = consent(subject, &book.name, &enterprise);
        json(&signed(consent.envelope(), &[&enterprise, registrar])?)
    };
    let path = directory.join(format!("consents-{}.jsonl", book.name));
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    // In pieces, so that a large city does not hold all its consents in memory.
    for rows in book.consented.chunks(10_000) {
        for line in rows.par_iter().map(document).collect::<std::io::Result<Vec<_>>>()? {
            writeln!(file, "{line}")?;
        }
    }
    file.flush()
}

fn consent(subject: &str, grantee: &str, enterprise: &SigningKey) -> Consent {
    Consent {
        version: 1,
        consent_id: consent_id(subject, grantee),
        supersedes: None,
        subject_kind: SubjectKind::Enterprise,
        subject: subject.into(),
        signer: Signer {
            role: SignerRole::LegalRepresentative,
            assurance: "e-licence".into(),
            assurance_level: "high".into(),
            key: enterprise.verify_key(),
            mandate: None,
            certificate: None,
        },
        grantee: grantee.into(),
        providers: vec!["platform".into()],
        purposes: PURPOSES.to_vec(),
        application: None,
        categories: vec!["*".into()],
        fields: Vec::new(),
        max_level: Level::L2,
        form: Form::BinnedVector,
        data: None,
        granted: WINDOW.0,
        not_before: WINDOW.0,
        not_after: WINDOW.1,
        fetch: Fetch::Standing,
        data_life_days: 365,
        mode: Mode::Store,
        onward: Onward::Never,
        notice: Notice {
            digest: Digest::of_bytes(NOTICE.as_bytes()),
            version: "1".into(),
            language: "zh".into(),
            shown_at: WINDOW.0,
        },
        withdrawal: "registrar".into(),
    }
}

/// A consent of an enterprise with other terms than the city's, signed by it and by the registrar: a line for `consent import`.
///
/// # Errors
/// Fails if the consent cannot be encoded.
pub fn signed_consent(
    city: &City,
    subject: &str,
    grantee: &str,
    change: impl FnOnce(&mut Consent),
) -> std::io::Result<String> {
    let enterprise = key(&city.seed, "enterprise", subject);
    let mut consent = consent(subject, grantee, &enterprise);
    change(&mut consent);
    json(&signed(consent.envelope(), &[&enterprise, &key(&city.seed, "registrar", "")])?)
}

/// The city's sharing list with other terms, signed by its authority: a file for `list import`.
///
/// # Errors
/// Fails if the list cannot be encoded.
pub fn signed_list(city: &City, change: impl FnOnce(&mut SharingList)) -> std::io::Result<String> {
    let mut list = sharing_list(&city.platform);
    change(&mut list);
    json(&signed(list.envelope(), &[&key(&city.seed, "list-authority", "")])?)
}

/// The digest of an enterprise's consent to a bank.
pub fn consent_digest(city: &City, subject: &str, grantee: &str) -> Digest {
    let consent = consent(subject, grantee, &key(&city.seed, "enterprise", subject));
    // Panic safety: an envelope that was just made holds base64.
    consent.envelope().payload_digest().expect("a fresh envelope")
}

/// What an enterprise does to its consent to a bank, signed by itself: a line for `consent import`.
///
/// # Errors
/// Fails if the event cannot be encoded.
pub fn consent_event(
    city: &City,
    subject: &str,
    grantee: &str,
    previous: Option<Digest>,
    kind: EventKind,
    time: i64,
) -> std::io::Result<(Digest, String)> {
    event_of(city, subject, consent_digest(city, subject, grantee), previous, kind, time)
}

/// What an enterprise does to any consent of its own, signed by itself: a line for `consent import`.
///
/// # Errors
/// Fails if the event cannot be encoded.
pub fn event_of(
    city: &City,
    subject: &str,
    consent: Digest,
    previous: Option<Digest>,
    kind: EventKind,
    time: i64,
) -> std::io::Result<(Digest, String)> {
    let enterprise = key(&city.seed, "enterprise", subject);
    let event = ConsentEvent {
        version: 1,
        consent,
        previous: previous.unwrap_or(consent),
        kind,
        time,
        reason: String::new(),
        key: enterprise.verify_key(),
    };
    let envelope = signed(event.envelope(), &[&enterprise])?;
    Ok((envelope.payload_digest().map_err(std::io::Error::other)?, json(&envelope)?))
}

/// The name of an enterprise's consent to a bank.
pub fn consent_id(subject: &str, grantee: &str) -> String {
    hex(&Digest::of("tallystick/city-consent", &[subject.as_bytes(), grantee.as_bytes()]))
}

fn hex(digest: &Digest) -> String {
    digest.to_string()[..32].to_owned()
}

fn sharing_list(platform: &Table) -> SharingList {
    let fields = platform.columns.iter().map(|column| ListField {
        name: column.name.clone(),
        title: column.title.clone(),
        owner: column.owner.clone(),
        category: column.category.clone(),
        level: if column.public { Level::L1 } else { Level::L2 },
        kind: kind(&column.cells),
        forms: if column.public { vec![Form::Raw, Form::Binned] } else { vec![Form::Binned, Form::Sealed] },
        purposes: PURPOSES.to_vec(),
        from: None,
        until: None,
        refresh_days: 31,
    });
    SharingList {
        version: 1,
        city: Text::new("示范市", "sample city"),
        issued: Day::of(WINDOW.0),
        fields: fields.collect(),
    }
}

fn dictionary(table: &Table) -> Dictionary {
    let fields = table.columns.iter().map(|column| FieldDefinition {
        name: column.name.clone(),
        title: column.title.clone(),
        kind: kind(&column.cells),
    });
    Dictionary { fields: fields.collect() }
}

fn kind(cells: &Cells) -> FieldKind {
    match cells {
        Cells::Numbers(_) => FieldKind::Numeric,
        Cells::Codes { values, .. } => FieldKind::Category { values: values.clone() },
    }
}

fn key(seed: &Seed, role: &str, name: &str) -> SigningKey {
    SigningKey::from_seed(&seed.derive("key", &[role.as_bytes(), name.as_bytes()]))
}

fn named(name: &str, key: &SigningKey) -> NamedKey {
    NamedKey { name: name.into(), key: key.verify_key() }
}

fn signed(mut envelope: Envelope, keys: &[&SigningKey]) -> std::io::Result<Envelope> {
    for key in keys {
        envelope.sign(key).map_err(std::io::Error::other)?;
    }
    Ok(envelope)
}

fn json(value: &impl serde::Serialize) -> std::io::Result<String> {
    serde_json::to_string(value).map_err(std::io::Error::other)
}
