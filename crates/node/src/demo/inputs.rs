//! What the parties of the demo bring: files, as real parties would.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tally_audit::NamedKey;
use tally_city::ca::Authority;
use tally_city::{City, Options};
use tally_crypto::sign::Envelope;
use tally_data::{CsvForm, Dictionary, Table};
use tally_model::text::Text;
use tally_policy::{Purpose, SharingList};

use super::DemoArguments;
use super::stages::Stages;
use crate::batch::value;
use crate::control::ScoreOrder;
use crate::failure::{self, Failure};

/// The files, and the few facts about them that no node needs.
pub(super) struct Inputs {
    folder: PathBuf,
    banks: u32,
    /// Identifiers are credit codes.
    pub(super) credit_codes: bool,
    /// What the city is, in a line.
    pub(super) description: String,
}

impl Inputs {
    /// Generates the city, or splits the given data.
    pub(super) fn make(root: &Path, arguments: &DemoArguments, stages: &mut Stages) -> Result<Self, Failure> {
        stages.next("city", "生成城市数据", 0);
        let banks = arguments.banks as usize;
        let folder = root.join("inputs");
        let city = match &arguments.data {
            Some(data) => City::from_data(data, banks, arguments.consent_rate.unwrap_or(1.0), &arguments.csv.form())
                .map_err(failure::data)?,
            None => City::generate(&Options {
                seed: arguments.seed,
                enterprises: arguments.enterprises,
                banks,
                consent_rate: arguments.consent_rate.unwrap_or(0.85),
            }),
        };
        city.write(&folder).map_err(failure::unwritable)?;
        let description = match &arguments.data {
            Some(data) => format!("{}\n{}", data.display(), city.columns().join("\n")),
            None => format!("synthetic city of {} enterprises, seed {}", arguments.enterprises, arguments.seed),
        };
        Ok(Self { folder, banks: arguments.banks, credit_codes: arguments.data.is_none(), description })
    }

    /// A file of the inputs.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Names of the banks.
    pub(super) fn banks(&self) -> Vec<String> {
        let mut names: Vec<_> = (1..=self.banks).map(|bank| format!("bank-{bank}")).collect();
        names.sort();
        names
    }

    /// The banks' field dictionary.
    pub(super) fn dictionary_text(&self) -> Result<String, Failure> {
        std::fs::read_to_string(self.file("dictionary.json")).map_err(failure::internal)
    }

    /// Names of the fields for people.
    pub(super) fn titles(&self) -> Result<BTreeMap<String, Text>, Failure> {
        let text = std::fs::read_to_string(self.file("list.json")).map_err(failure::internal)?;
        let envelope: Envelope = serde_json::from_str(&text).map_err(failure::internal)?;
        let payload = envelope.unverified_payload().map_err(failure::internal)?;
        let list: SharingList = serde_json::from_slice(&payload).map_err(failure::internal)?;
        let own = Dictionary::parse(&self.dictionary_text()?).map_err(failure::internal)?;
        let listed = list.fields.into_iter().map(|field| (field.name, field.title));
        Ok(own.fields.into_iter().map(|field| (field.name, field.title)).chain(listed).collect())
    }

    /// Names registrar and list authority to the consortium.
    pub(super) fn appoint(&self, authority: &mut Authority) -> Result<(), Failure> {
        authority.appoint_registrar(self.named_key("registrar.json")?).map_err(failure::internal)?;
        authority.appoint_list_authority(self.named_key("authority.json")?).map_err(failure::internal)
    }

    /// A public key of the inputs.
    pub(super) fn named_key(&self, file: &str) -> Result<NamedKey, Failure> {
        let text = std::fs::read_to_string(self.file(file)).map_err(failure::internal)?;
        serde_json::from_str(&text).map_err(failure::internal)
    }

    /// The applicants of a bank.
    pub(super) fn applicants(&self, bank: &str) -> Result<Vec<ScoreOrder>, Failure> {
        let file = self.file(&format!("applicants-{bank}.csv"));
        let table = Table::open(&file, &CsvForm::default()).map_err(failure::internal)?;
        let header = table.header().to_vec();
        let id = table.place("id").unwrap_or(0);
        let mut rows = table.rows(&(0..header.len()).collect::<Vec<_>>()).map_err(failure::internal)?;
        let mut orders = Vec::new();
        while let Some(row) = rows.next_row().map_err(failure::internal)? {
            let fields = header.iter().enumerate().filter(|(place, _)| *place != id);
            orders.push(ScoreOrder {
                session: None,
                id: row.cell(id).to_owned(),
                purpose: Purpose::LoanUnderwriting,
                application: None,
                fields: fields.map(|(place, name)| (name.clone(), value(row.cell(place)))).collect(),
                reasons: 3,
            });
        }
        Ok(orders)
    }
}
