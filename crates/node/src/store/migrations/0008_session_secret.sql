-- What everything random of a session is made from: drawn when it starts, erased when it ends. Sessions that were begun under
-- version 7 have none.
CREATE TABLE session_secret (session TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
