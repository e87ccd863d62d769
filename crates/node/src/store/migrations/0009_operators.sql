-- Operators that act no more; changes of operators that wait for signatures; the orders that operators have signed, named by
-- their digests in the log.
ALTER TABLE operator ADD COLUMN ended INTEGER;
CREATE TABLE operator_change (name TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
CREATE TABLE operator_order (digest BLOB PRIMARY KEY, session TEXT, record TEXT NOT NULL) STRICT;
