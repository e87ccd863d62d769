mod attest;
mod guard;
mod models;
mod noise;
mod privacy;
mod spoiled;
mod statistics;
mod withdrawal;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;
use tally_crypto::seed::Seed;
use tally_crypto::sign::SigningKey;
use tally_crypto::transcript::Digest;
use tally_model::text::Text;
use tally_model::{Column, Fitted};
use tally_policy::disclosure::Verdict;
use tally_policy::{Cleared, Form, Level, Purpose};

use super::*;
use crate::aggregation::Part;
use crate::alignment::Engine;

/// A session in memory: machines, and the journals from which they can be built again.
struct World {
    contract: SealedContract,
    platform: PlatformSession,
    banks: BTreeMap<String, BankSession>,
    journals: BTreeMap<String, Vec<Input>>,
    post: VecDeque<(String, String, Vec<u8>)>,
    sent: BTreeMap<String, Vec<Vec<u8>>>,
    fits: BTreeMap<String, Fitted>,
    facts: BTreeMap<String, Vec<Fact>>,
    stages: BTreeMap<String, Vec<Stage>>,
    ledgers: BTreeMap<String, Vec<crate::aggregation::Release>>,
    dead: Vec<String>,
    transcripts: Vec<Vec<u8>>,
    attested: BTreeMap<String, Vec<Attestation>>,
    refused: Vec<Fault>,
    unread: BTreeMap<String, u64>,
    /// Events that a bank's register is to judge.
    forwarded: Vec<(String, String)>,
    /// Whether registers find that events hold.
    believes: bool,
}

#[derive(Clone)]
enum Input {
    Platform(PlatformData),
    Bank(BankData),
    Message {
        from: String,
        body: Vec<u8>,
    },
    PatienceOver,
    /// Consents to a bank end.
    Withdraw(String, Vec<String>),
}

fn key(name: &str) -> SigningKey {
    SigningKey::from_seed(&Seed::new([3; 32]).derive("test", &[name.as_bytes()]))
}

fn bank_names(banks: usize) -> Vec<String> {
    (1..=banks).map(|bank| format!("bank-{bank}")).collect()
}

fn contract(banks: usize) -> Contract {
    let own = |name: &str, categories: &[&str]| FieldTerms {
        name: name.into(),
        holder: Holder::Banks,
        level: Level::L3,
        form: Form::Sealed,
        categories: categories.iter().map(ToString::to_string).collect(),
    };
    let offered = |name: &str| FieldTerms {
        name: name.into(),
        holder: Holder::Platform,
        level: Level::L2,
        form: Form::Binned,
        categories: Vec::new(),
    };
    let party = |name: String, role| Party { node_key: key(&name).verify_key(), name, role };
    let mut parties: Vec<_> = bank_names(banks).into_iter().map(|name| party(name, PartyRole::Bank)).collect();
    parties.push(party("platform".into(), PartyRole::Platform));
    Contract {
        version: 1,
        session: "0123456789abcdef".into(),
        title: Text::new("测试", "test"),
        purpose: Purpose::JointModelling,
        parties,
        fields: vec![own("rate", &[]), own("kind", &["a", "b"]), offered("tax"), offered("sector")],
        list: ListReference { version: 1, digest: Digest::default() },
        snapshot: Snapshot {
            dataset: "enterprises".into(),
            as_of: "2024-06-30".parse().unwrap(),
            commitment: Digest::default(),
        },
        disclosures: bank_names(banks).into_iter().map(|bank| (bank, verdict(2))).collect(),
        alignment: AlignmentTerms { engine: Engine::Voprf, padding: true },
        model: ModelTerms {
            algorithm: "scorecard".into(),
            bins: 5,
            search: tally_model::CutSearch::Nested,
            missing_unseen: None,
            coarse: None,
            selection: tally_model::SelectionPlan::default(),
            reasons: tally_model::ReasonBasis::default(),
            rows: RowColumns::default(),
            cuts: BTreeMap::new(),
            special: BTreeMap::new(),
            smoothing: 0.5,
            min_iv: 0.0,
            c: 1.0,
            pdo: 20.0,
            base_score: 600.0,
            base_odds: 50.0,
            trees: None,
            statistics: None,
            judging: JudgingTerms::default(),
        },
        limits: Limits {
            min_bad: 0,
            min_cohort: 3,
            min_cell: if banks > 4 { 4 } else { 3 },
            recompute: Recompute::EverySum,
            min_rows: 1,
            row_cap: 1 << 20,
            evaluations: 1000,
            rounds: 160,
        },
        balance: Some(BalanceTerms { share: 0.9, floor: 1, cell_share: Some(0.9), twins: None }),
        withdrawal: Some(WithdrawalTerms { share: 1.0, otherwise: Otherwise::GoOn }),
        sample: None,
        noise: None,
        scoring: ScoringTerms::default(),
        patience_seconds: 30,
        created: 0,
        expires: 1,
        retention_days: 1,
        seed: Digest([5; 32]),
    }
}

/// The verdict on a vector of some fields over no rows.
fn verdict(fields: usize) -> Verdict {
    Verdict::of(0, &vec![[].as_slice(); fields], &[], None, 20)
}

fn platform_data(banks: usize, rows: usize, seed: u64) -> PlatformData {
    let mut draws = Seed::new([9; 32]).rng("platform", &[&seed.to_be_bytes()]);
    let mut uniform = || (draws.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let numbers = (0..rows).map(|_| if uniform() < 0.1 { f64::NAN } else { uniform() * 100.0 }).collect();
    let codes = (0..rows).map(|_| (uniform() * 4.0) as u16).collect();
    let values = ["x", "y", "z"].map(String::from).to_vec();
    let consents = bank_names(banks).into_iter().map(|bank| {
        let consented = (0..rows as u32).filter(|_| uniform() < 0.8).collect();
        (bank, consented)
    });
    PlatformData {
        consented: consents.collect(),
        identifiers: (0..rows).map(|row| format!("e{row}")).collect(),
        columns: vec![PlatformColumn::Numeric(numbers), PlatformColumn::Category { codes, values }],
    }
}

fn bank_data(bank: usize, rows: usize, seed: u64) -> BankData {
    let mut draws = Seed::new([8; 32]).rng("bank", &[&bank.to_be_bytes(), &seed.to_be_bytes()]);
    let mut uniform = || (draws.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let chosen: Vec<_> = (0..rows).filter(|_| uniform() < 0.6).collect();
    let identifiers: Vec<_> = chosen.iter().map(|row| format!("e{row}")).collect();
    BankData {
        holdout: identifiers.iter().map(|identifier| tally_model::is_holdout(identifier)).collect(),
        identifiers,
        weight: chosen.iter().map(|row| (row % 4) as f64 / 2.0).collect(),
        offset: chosen.iter().map(|row| (row % 5) as f64 / 10.0).collect(),
        label: chosen.iter().map(|_| u8::from(uniform() < 0.3)).collect(),
        columns: vec![
            Column::Values(chosen.iter().map(|_| (uniform() * 10.0).floor()).collect()),
            Column::Codes(chosen.iter().map(|_| (uniform() * 3.0) as u16).collect()),
        ],
    }
}

impl World {
    fn new(banks: usize) -> Self {
        Self::under(&contract(banks))
    }

    fn under(contract: &Contract) -> Self {
        let banks = contract.banks().count();
        let contract = SealedContract::read(&contract.envelope()).unwrap();
        Self {
            platform: new_platform(&contract),
            banks: bank_names(banks).into_iter().map(|name| (name.clone(), new_bank(&contract, &name))).collect(),
            contract,
            journals: BTreeMap::new(),
            post: VecDeque::new(),
            sent: BTreeMap::new(),
            fits: BTreeMap::new(),
            facts: BTreeMap::new(),
            stages: BTreeMap::new(),
            ledgers: BTreeMap::new(),
            dead: Vec::new(),
            transcripts: Vec::new(),
            attested: BTreeMap::new(),
            refused: Vec::new(),
            unread: BTreeMap::new(),
            forwarded: Vec::new(),
            believes: true,
        }
    }

    fn prepare(&mut self, rows: usize, seed: u64) -> (PlatformData, BTreeMap<String, BankData>) {
        let platform = platform_data(self.banks.len(), rows, seed);
        let names: Vec<_> = self.banks.keys().cloned().collect();
        let mut banks: BTreeMap<_, _> =
            (1..).zip(names).map(|(place, name)| (name, bank_data(place, rows, seed))).collect();
        if self.contract.terms().is_statistics() {
            banks.values_mut().for_each(statistics::add_places);
        }
        self.give("platform", Input::Platform(platform.clone())).unwrap();
        for (name, data) in &banks {
            self.give(name, Input::Bank(data.clone())).unwrap();
        }
        (platform, banks)
    }

    fn give(&mut self, node: &str, input: Input) -> Result<(), Fault> {
        self.journals.entry(node.into()).or_default().push(input.clone());
        if node == "platform" {
            let outputs = move_platform(&mut self.platform, input)?;
            self.follow(node, outputs, FromPlatform::encode);
        } else {
            let outputs = move_bank(self.banks.get_mut(node).unwrap(), input)?;
            self.follow(node, outputs, FromBank::encode);
        }
        for (bank, events) in std::mem::take(&mut self.forwarded) {
            let name = events.strip_prefix("the end of ").filter(|_| self.believes);
            name.map_or(Ok(()), |name| self.give(&bank, Input::Withdraw(bank.clone(), vec![name.into()])))?;
        }
        Ok(())
    }

    fn follow<M>(&mut self, node: &str, outputs: Vec<Output<M>>, encode: impl Fn(&M) -> Vec<u8>) {
        for output in outputs {
            match output {
                Output::Send { to, message } => {
                    let body = encode(&message);
                    self.sent.entry(node.into()).or_default().push(body.clone());
                    self.post.push_back((node.into(), to, body));
                }
                Output::Record(fact) => self.facts.entry(node.into()).or_default().push(fact),
                Output::Stage(stage) => self.stages.entry(node.into()).or_default().push(stage),
                Output::Model(fit) => drop(self.fits.insert(node.into(), *fit)),
                Output::Refused(fault) => self.refused.push(fault),
                Output::Ended(events) => self.forwarded.push((node.into(), events)),
                Output::Releasing(release) => {
                    let ledger = self.ledgers.entry(node.into()).or_default();
                    ledger.push(release);
                }
                Output::Evidence { transcript, .. } => self.transcripts.push(transcript),
                Output::Attested(one) => self.attested.entry(node.into()).or_default().push(one),
                Output::Unread(rows) => drop(self.unread.insert(node.into(), rows)),
                Output::Table(_) => {}
            }
        }
    }

    /// Delivers messages, in order per pair, until nothing is on its way.
    fn settle(&mut self) -> Result<(), Fault> {
        while let Some((from, to, body)) = self.post.pop_front() {
            if !self.dead.contains(&to) && !self.dead.contains(&from) {
                self.give(&to, Input::Message { from, body })?;
            }
        }
        Ok(())
    }

    /// Builds every machine again from its journal; it must have said the very same things.
    fn replay(&mut self) {
        for (node, journal) in self.journals.clone() {
            let mut said = Vec::new();
            if node == "platform" {
                let mut machine = new_platform(&self.contract);
                for input in journal {
                    said.extend(sends(move_platform(&mut machine, input).unwrap(), FromPlatform::encode));
                }
                self.platform = machine;
            } else {
                let mut machine = new_bank(&self.contract, &node);
                for input in journal {
                    said.extend(sends(move_bank(&mut machine, input).unwrap(), FromBank::encode));
                }
                self.banks.insert(node.clone(), machine);
            }
            assert_eq!(said, self.sent.get(&node).cloned().unwrap_or_default(), "{node}");
        }
    }
}

fn sends<M>(outputs: Vec<Output<M>>, encode: impl Fn(&M) -> Vec<u8>) -> Vec<Vec<u8>> {
    outputs
        .iter()
        .filter_map(|output| match output {
            Output::Send { message, .. } => Some(encode(message)),
            _ => None,
        })
        .collect()
}

fn new_platform(contract: &SealedContract) -> PlatformSession {
    PlatformSession::new(contract.clone(), Arc::new(key("platform")), Seed::new([1; 32])).unwrap()
}

fn new_bank(contract: &SealedContract, name: &str) -> BankSession {
    let seed = Seed::new([2; 32]).derive("test", &[name.as_bytes()]);
    BankSession::new(contract.clone(), name, Arc::new(key(name)), seed).unwrap()
}

fn move_platform(machine: &mut PlatformSession, input: Input) -> Result<Vec<Output<FromPlatform>>, Fault> {
    machine.apply(match input {
        Input::Platform(data) => PlatformInput::Prepared(Cleared::journaled(data)),
        Input::Withdraw(bank, identifiers) => {
            let ended = |name: String| Ended { events: Some(format!("the end of {name}")), identifiers: vec![name] };
            PlatformInput::Withdraw { bank, ended: identifiers.into_iter().map(ended).collect() }
        }
        Input::Message { from, body } => PlatformInput::Message { message: FromBank::decode(&body, &from)?, from },
        Input::PatienceOver => PlatformInput::PatienceOver,
        Input::Bank(_) => unreachable!(),
    })
}

fn move_bank(machine: &mut BankSession, input: Input) -> Result<Vec<Output<FromBank>>, Fault> {
    machine.apply(match input {
        Input::Bank(data) => BankInput::Prepared(Cleared::journaled(data)),
        Input::Withdraw(_, identifiers) => BankInput::Withdraw(identifiers.into_iter().collect()),
        Input::Message { from, body } => BankInput::Message(FromPlatform::decode(&body, &from)?),
        Input::Platform(_) | Input::PatienceOver => unreachable!(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn every_party_has_the_fit_of_the_pooled_rows(seed in any::<u64>(), rows in 60usize..300, banks in 3usize..6) {
        let mut world = World::new(banks);
        let (platform, data) = world.prepare(rows, seed);
        world.settle().unwrap();
        prop_assert_eq!(world.fits.len(), banks + 1);
        let pooled = ideal(&world.contract, &platform, &data, &[]).unwrap();
        for (node, fit) in &world.fits {
            prop_assert_eq!(fit, &pooled, "{}", node);
            prop_assert_eq!(world.stages[node].last(), Some(&Stage::Closed));
        }
    }
}

#[test]
fn what_parties_log_of_the_same_thing_is_the_same() {
    let mut world = World::new(3);
    world.prepare(120, 1);
    world.settle().unwrap();
    let shared = |node: &str, wanted: &dyn Fn(&Fact) -> bool| -> Vec<Fact> {
        world.facts[node].iter().filter(|fact| wanted(fact)).cloned().collect()
    };
    let sums = |fact: &Fact| matches!(fact, Fact::Released { .. } | Fact::Model { .. });
    for bank in world.banks.keys() {
        assert_eq!(shared(bank, &sums), shared("platform", &sums));
        let aligned = |fact: &Fact| matches!(fact, Fact::Alignment { bank: of, .. } if of == bank);
        assert_eq!(shared(bank, &aligned), shared("platform", &aligned));
    }
}

#[test]
fn machines_built_again_from_their_journals_go_on_as_if_nothing_had_happened() {
    let mut world = World::new(3);
    let (platform, data) = world.prepare(80, 2);
    let mut delivered = 0;
    while let Some((from, to, body)) = world.post.pop_front() {
        world.give(&to, Input::Message { from, body }).unwrap();
        delivered += 1;
        if delivered % 40 == 0 {
            world.replay();
        }
    }
    world.replay();
    let pooled = ideal(&world.contract, &platform, &data, &[]).unwrap();
    assert!(world.fits.values().all(|fit| *fit == pooled) && world.fits.len() == 4);
}

#[test]
fn four_banks_go_on_without_one_and_three_stop_and_say_why() {
    for banks in [4, 3] {
        let mut world = World::new(banks);
        let (platform, data) = world.prepare(120, 3);
        // Until the first masked vectors are on their way.
        while !world.facts.get("bank-2").is_some_and(|f| f.iter().any(|f| matches!(f, Fact::Contributed { .. }))) {
            let (from, to, body) = world.post.pop_front().unwrap();
            world.give(&to, Input::Message { from, body }).unwrap();
        }
        world.dead.push("bank-2".into());
        world.settle().unwrap();
        let mut outcome = Ok(());
        while outcome.is_ok() && !world.platform.waiting_for().is_empty() {
            outcome = world.give("platform", Input::PatienceOver).and_then(|()| world.settle());
        }
        if banks == 4 {
            outcome.unwrap();
            let fit = &world.fits["platform"];
            assert_eq!(*fit, ideal(&world.contract, &platform, &data, fit.rounds()).unwrap());
            assert_eq!(fit.rounds().last().unwrap().cohort, ["bank-1", "bank-3", "bank-4"]);
            assert_eq!(world.fits["bank-3"], *fit);
        } else {
            let fault = outcome.unwrap_err();
            assert_eq!(fault.culprit, "bank-2");
            assert!(fault.reason.contains("3 are needed"), "{fault}");
        }
    }
}

/// Between the indicators and the cells a bank dies: the cells are asked again of the others, folded as if it had stood
/// behind every one.
#[test]
fn a_bank_that_leaves_between_indicators_and_cells_leaves_enough_behind_every_cell() {
    let mut world = World::new(4);
    let (platform, data) = world.prepare(200, 5);
    while !world.facts.get("bank-2").is_some_and(|f| f.iter().any(|f| matches!(f, Fact::Released { round: 1, .. }))) {
        let (from, to, body) = world.post.pop_front().unwrap();
        world.give(&to, Input::Message { from, body }).unwrap();
    }
    world.dead.push("bank-2".into());
    world.settle().unwrap();
    while !world.platform.waiting_for().is_empty() {
        world.give("platform", Input::PatienceOver).and_then(|()| world.settle()).unwrap();
    }
    let fit = &world.fits["platform"];
    assert_eq!((fit.rounds()[0].seen.len(), fit.rounds()[0].cohort.len()), (4, 3));
    assert_eq!(*fit, ideal(&world.contract, &platform, &data, fit.rounds()).unwrap());
    assert_eq!(world.fits["bank-4"], *fit);
    world.replay();
}

fn noisy(rho_round: f64, rho_session: f64) -> Contract {
    let noise = Some(crate::aggregation::NoiseTerms { rho_round, rho_session, newton_steps: 4 });
    Contract { noise, ..contract(3) }
}

#[test]
fn what_the_contract_does_not_foresee_is_refused_with_the_culprit() {
    let prepared = || {
        let mut world = World::new(3);
        world.prepare(60, 4);
        world
    };
    let to_platform = |world: &mut World, from: &str, message: FromBank| {
        world.give("platform", Input::Message { from: from.into(), body: message.encode() }).unwrap_err().culprit
    };
    let to_bank = |world: &mut World, message: FromPlatform| {
        world.give("bank-1", Input::Message { from: "platform".into(), body: message.encode() }).unwrap_err().culprit
    };
    assert_eq!(to_platform(&mut prepared(), "stranger", FromBank::Aligned), "stranger");
    let stop = Stop { culprit: "bank-3".into(), reason: "gone".into() };
    assert_eq!(to_platform(&mut prepared(), "bank-3", FromBank::Aborted(stop)), "bank-3");
    assert_eq!(
        to_bank(&mut prepared(), FromPlatform::Complete { model: Digest::default(), signed: BTreeMap::new() }),
        "platform"
    );
    let released =
        FromPlatform::Released { round: 7, part: Part::Rows, cohort: vec![], sums: vec![], transcript: None };
    assert_eq!(to_bank(&mut prepared(), released), "platform");
    let nonsense = Input::Message { from: "bank-1".into(), body: vec![250, 1, 2] };
    assert_eq!(prepared().give("platform", nonsense).unwrap_err().culprit, "bank-1");
}

#[test]
fn contracts_with_a_term_out_of_bounds_are_refused() {
    let refused = |change: &dyn Fn(&mut Contract)| {
        let mut contract = contract(3);
        change(&mut contract);
        SealedContract::read(&contract.envelope()).unwrap_err().to_string()
    };
    assert!(refused(&|c| c.limits.min_cohort = 2).contains("min_cohort"));
    assert!(refused(&|c| c.limits.min_cell = 2).contains("min_cell"));
    assert!(refused(&|c| drop(c.parties.remove(0))).contains("parties"));
    // Three banks by name, of which two are one.
    let twins = refused(&|c| c.parties[1].node_key = c.parties[0].node_key);
    assert!(twins.contains("bank-1") && twins.contains("bank-2") && twins.contains("same key"), "{twins}");
    assert!(refused(&|c| c.fields[2].level = Level::L4).contains("level 4"));
    assert!(refused(&|c| c.fields[2].form = Form::Raw).contains("binned"));
    assert!(refused(&|c| c.fields[3].name = "tax".into()).contains("distinct"));
    assert!(refused(&|c| c.expires = 0).contains("expires"));
    assert!(refused(&|c| c.alignment.engine = Engine::Oprf).contains("2hashdh-base"));
    let balance = |share, floor| {
        move |c: &mut Contract| c.balance = Some(BalanceTerms { share, floor, cell_share: None, twins: None })
    };
    assert!(refused(&balance(0.3, 20)).contains("balance.share"));
    assert!(refused(&balance(1.0, 20)).contains("balance.share"));
    assert!(refused(&balance(0.5, 0)).contains("balance.floor"));
    assert!(refused(&|c| c.model.algorithm = "magic".into()).contains("algorithm"));
    assert!(refused(&|c| assert!(c.disclosures.remove("bank-2").is_some())).contains("disclosures"));
    assert!(refused(&|c| c.disclosures.extend([("bank-4".into(), verdict(2))])).contains("disclosures"));
    assert!(refused(&|c| c.disclosures.extend([("bank-2".into(), verdict(1))])).contains("other fields"));
    assert_eq!(contract(3).level(), Some(Level::L2));
    let mut envelope = contract(3).envelope();
    for party in ["bank-1", "bank-2", "bank-3"] {
        envelope.sign(&key(party)).unwrap();
    }
    assert!(SealedContract::verify(&envelope).is_err());
    envelope.sign(&key("platform")).unwrap();
    assert!(SealedContract::verify(&envelope).is_ok());
}
