-- Version 7. Columns named `sealed` are AES-256-GCM under the node's storage key, bound to their table and row.
CREATE TABLE entry (number INTEGER PRIMARY KEY, leaf BLOB NOT NULL) STRICT;
CREATE TABLE operator (name TEXT PRIMARY KEY, key TEXT NOT NULL, role TEXT NOT NULL, added INTEGER NOT NULL) STRICT;
CREATE TABLE list (version INTEGER PRIMARY KEY, envelope TEXT NOT NULL, imported INTEGER NOT NULL) STRICT;
CREATE TABLE dataset (name TEXT PRIMARY KEY, info TEXT NOT NULL, sealed BLOB NOT NULL) STRICT;
-- A consent, and the log entry whose root covers it.
CREATE TABLE consent (number INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, entry INTEGER NOT NULL, sealed BLOB NOT NULL)
    STRICT;
CREATE TABLE consent_event (number INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, sealed BLOB NOT NULL) STRICT;
-- In the order of the log, as `opening` and `score`: what a score adds then lies together, and costs few pages.
CREATE TABLE consent_use (decision INTEGER NOT NULL, digest BLOB NOT NULL, rows INTEGER NOT NULL, time INTEGER NOT NULL,
    PRIMARY KEY (decision, digest)) STRICT, WITHOUT ROWID;
-- What opens a commitment of the log; `subject` is a keyed hash of whom it is about.
CREATE TABLE opening (entry INTEGER PRIMARY KEY, subject BLOB NOT NULL, sealed BLOB NOT NULL) STRICT;
CREATE INDEX opening_of_subject ON opening (subject);
-- Objections of enterprises to values, and how they were settled.
CREATE TABLE dispute (number INTEGER PRIMARY KEY, subject BLOB NOT NULL, sealed BLOB NOT NULL) STRICT;
-- Scores that were given: at the bank what is needed to give them again, at the platform to whom. Of whom it is, the opening
-- of `entry` tells: at the bank the entry of its request, at the platform that of the decision.
CREATE TABLE score (entry INTEGER PRIMARY KEY, request TEXT NOT NULL, consent BLOB NOT NULL, sealed BLOB NOT NULL) STRICT;
-- Tokens of the scoring service: terms, signatures, and the SHA-256 of what was given out.
CREATE TABLE token (name TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
-- Calls with an idempotency key: digest of the body, the request to the platform, and what was answered.
CREATE TABLE call (key BLOB PRIMARY KEY, body BLOB NOT NULL, request TEXT NOT NULL, expires INTEGER NOT NULL,
    sealed BLOB NOT NULL) STRICT;
CREATE INDEX call_of_request ON call (request);
CREATE INDEX call_by_end ON call (expires);
-- Early warnings: at the platform those issued to a bank, at a bank those about its portfolio.
CREATE TABLE warning (id BLOB PRIMARY KEY, bank TEXT NOT NULL, rule TEXT NOT NULL, state TEXT NOT NULL, subject BLOB NOT NULL,
    consent BLOB NOT NULL, sealed BLOB NOT NULL) STRICT;
CREATE INDEX warning_of_subject ON warning (subject);
CREATE INDEX warning_in_state ON warning (state);
-- Rules of warnings that an operator approved, what they read last of each source, what banks made of their warnings.
CREATE TABLE warning_rules (version INTEGER PRIMARY KEY, approval TEXT NOT NULL) STRICT;
CREATE TABLE warning_baseline (source TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
CREATE TABLE warning_outcome (bank TEXT NOT NULL, rule TEXT NOT NULL, outcome TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (bank, rule, outcome)) STRICT;
-- Outcomes of loans: at a bank what it recorded, at the platform what banks told, under a consent; `name` is a keyed hash of the
-- application.
CREATE TABLE outcome (name BLOB PRIMARY KEY, subject BLOB NOT NULL, consent BLOB NOT NULL, sealed BLOB NOT NULL) STRICT;
CREATE INDEX outcome_of_subject ON outcome (subject);
-- Certificates of what was deleted.
CREATE TABLE certificate (number INTEGER PRIMARY KEY, envelope TEXT NOT NULL) STRICT;
CREATE TABLE session (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
CREATE TABLE journal (session TEXT NOT NULL, number INTEGER NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (session, number)) STRICT;
CREATE TABLE result (session TEXT NOT NULL, name TEXT NOT NULL, sealed BLOB NOT NULL, PRIMARY KEY (session, name)) STRICT;
CREATE TABLE model (digest BLOB PRIMARY KEY, record TEXT NOT NULL) STRICT;
-- Sets of banks over which this bank helped to release sums, by the version of its data.
CREATE TABLE release (version BLOB NOT NULL, session TEXT NOT NULL, cohort TEXT NOT NULL,
    PRIMARY KEY (version, session, cohort)) STRICT;
-- Codes of fields that a bank got of a data set, the bins they had, and the set of rows; sets that are equal are kept once.
CREATE TABLE disclosure (session TEXT NOT NULL, grantee TEXT NOT NULL, dataset TEXT NOT NULL, sealed BLOB NOT NULL,
    PRIMARY KEY (session, grantee)) STRICT;
CREATE TABLE row_set (digest BLOB PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
-- What this node has cosigned last, per log.
CREATE TABLE witness (origin TEXT PRIMARY KEY, seen TEXT NOT NULL) STRICT;
CREATE TABLE peer (name TEXT PRIMARY KEY, sent INTEGER NOT NULL, received INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE outbox (
    peer TEXT NOT NULL, sequence INTEGER NOT NULL, session TEXT NOT NULL, kind TEXT NOT NULL, entry INTEGER NOT NULL,
    sealed BLOB NOT NULL, PRIMARY KEY (peer, sequence)
) STRICT, WITHOUT ROWID;
-- What peers have signed for messages that were taken in; kept, since it convicts a peer that does not publish what it promised.
CREATE TABLE receipt (number INTEGER PRIMARY KEY, peer TEXT NOT NULL, signed BLOB NOT NULL) STRICT;
