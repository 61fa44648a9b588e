/**
 * The catalog's layout, as the list of steps that lead to it. Step n brings a catalog of format n-1 to format n
 * (`PRAGMA user_version`). A step that was released is never edited; a change is a new step. No state.
 */

export const migrations: readonly string[] = [
  `
  CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

  -- Streams as first started, and every schema since. Partitions never change.
  CREATE TABLE streams (
    name TEXT PRIMARY KEY, partitions INTEGER NOT NULL, created_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE schemas (
    stream TEXT NOT NULL REFERENCES streams (name),
    since_cut INTEGER NOT NULL,
    def TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    PRIMARY KEY (stream, since_cut)
  ) STRICT;

  -- A version's plan is kept, so that it goes on answering after the project's file has changed.
  CREATE TABLE versions (
    view TEXT NOT NULL,
    version TEXT NOT NULL,
    sql TEXT NOT NULL,
    plan TEXT NOT NULL,
    on_error TEXT NOT NULL CHECK (on_error IN ('stall', 'skip')),
    state TEXT NOT NULL CHECK (state IN ('building', 'live', 'retired', 'failed')),
    sealed_cut INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    PRIMARY KEY (view, version)
  ) STRICT;
  CREATE TABLE pointers (
    view TEXT PRIMARY KEY,
    version TEXT NOT NULL,
    cut INTEGER NOT NULL,
    moved_ms INTEGER NOT NULL,
    FOREIGN KEY (view, version) REFERENCES versions (view, version)
  ) STRICT;

  CREATE TABLE slices (
    path TEXT PRIMARY KEY,
    view TEXT NOT NULL,
    version TEXT NOT NULL,
    stage TEXT NOT NULL,
    part TEXT NOT NULL,
    from_cut INTEGER NOT NULL,
    to_cut INTEGER NOT NULL CHECK (to_cut >= from_cut),
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    published_ms INTEGER NOT NULL,
    FOREIGN KEY (view, version) REFERENCES versions (view, version)
  ) STRICT;
  CREATE INDEX slices_of_version ON slices (view, version, from_cut);

  CREATE TABLE lake_files (
    path TEXT PRIMARY KEY,
    stream TEXT NOT NULL,
    from_cut INTEGER NOT NULL,
    to_cut INTEGER NOT NULL CHECK (to_cut > from_cut),
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    offsets TEXT NOT NULL,
    fields TEXT NOT NULL,
    published_ms INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX lake_files_of_stream ON lake_files (stream, from_cut);
  CREATE TABLE lake (one INTEGER PRIMARY KEY CHECK (one = 1), through_cut INTEGER NOT NULL) STRICT;
  INSERT INTO lake (one, through_cut) VALUES (1, 0);

  -- Which cut stood when, and which versions answered. Version sets repeat, so they are kept once.
  CREATE TABLE version_sets (id INTEGER PRIMARY KEY, versions TEXT NOT NULL UNIQUE) STRICT;
  CREATE TABLE cuts (
    id INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    cut INTEGER NOT NULL,
    version_set INTEGER NOT NULL REFERENCES version_sets (id),
    what TEXT NOT NULL
  ) STRICT;
  CREATE INDEX cuts_by_time ON cuts (time_ms);

  CREATE TABLE audit (
    id INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, what TEXT NOT NULL, details TEXT NOT NULL
  ) STRICT;

  CREATE TABLE skipped (
    view TEXT NOT NULL,
    version TEXT NOT NULL,
    commit_seq INTEGER NOT NULL,
    event_index INTEGER NOT NULL,
    stream TEXT NOT NULL,
    partition INTEGER NOT NULL,
    event_offset INTEGER NOT NULL,
    message TEXT NOT NULL,
    time_ms INTEGER NOT NULL,
    PRIMARY KEY (view, version, commit_seq, event_index)
  ) STRICT;

  -- Dead letters of commits that the lake holds; younger ones are lines of the hot log.
  CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY,
    commit_seq INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    stream TEXT NOT NULL,
    event_index INTEGER NOT NULL,
    code TEXT NOT NULL,
    reason TEXT NOT NULL,
    place TEXT NOT NULL,
    raw TEXT NOT NULL
  ) STRICT;
  CREATE INDEX dead_letters_of_stream ON dead_letters (stream, commit_seq);
  `,
  `
  -- Versions live longer than their turn: planned, built, proved, live, kept warm, and read again as reported.
  CREATE TABLE versions_2 (
    view TEXT NOT NULL,
    version TEXT NOT NULL,
    sql TEXT NOT NULL,
    plan TEXT NOT NULL,
    on_error TEXT NOT NULL CHECK (on_error IN ('stall', 'skip')),
    state TEXT NOT NULL CHECK (state IN (
      'planned', 'building', 'catching_up', 'shadow', 'verified', 'live', 'warm', 'retired', 'failed')),
    -- History begins here: 0, or a later cut that a deploy chose or a trimmed log forced.
    start_cut INTEGER NOT NULL DEFAULT 0,
    sealed_cut INTEGER NOT NULL DEFAULT 0,
    -- What decided the version, part by part, as JSON: for saying why a later one differs.
    identity TEXT NOT NULL DEFAULT '{}',
    warm_until_ms INTEGER,
    reason TEXT,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    PRIMARY KEY (view, version)
  ) STRICT;
  INSERT INTO versions_2 (view, version, sql, plan, on_error, state, sealed_cut, reason, created_ms, changed_ms)
    SELECT view, version, sql, plan, on_error, state, sealed_cut, reason, created_ms, changed_ms FROM versions;
  DROP TABLE versions;
  ALTER TABLE versions_2 RENAME TO versions;

  -- A slice that a merge took the place of stays for reads of the past until it is too old to be worth its space.
  ALTER TABLE slices ADD COLUMN superseded_ms INTEGER;
  -- Of the part that says which groups exist: how many events were folded, and the sum modulo 2 of the hashes of their
  -- positions, in decimal; unknown for older slices.
  ALTER TABLE slices ADD COLUMN events INTEGER;
  ALTER TABLE slices ADD COLUMN position_sum TEXT;
  -- The events below are gone from the log: a base is never folded again, so it is never deleted with its version's
  -- other slices, and a damaged one comes back only from a backup.
  ALTER TABLE slices ADD COLUMN base INTEGER NOT NULL DEFAULT 0 CHECK (base IN (0, 1));

  -- Events of the stream in commits up to this cut are no longer in the log.
  CREATE TABLE trims (
    stream TEXT PRIMARY KEY, cut INTEGER NOT NULL, events INTEGER NOT NULL, time_ms INTEGER NOT NULL, reason TEXT NOT NULL,
    -- The next offset of each partition at the cut, and the ingest time of the last event that went.
    offsets TEXT NOT NULL DEFAULT '[]', until_ms INTEGER
  ) STRICT;
  -- First and last ingest time, and event time where the stream has one, as JSON; unknown for older files.
  ALTER TABLE lake_files ADD COLUMN times TEXT;
  -- Files that were trimmed or merged into others and are deleted once nobody reads them.
  CREATE TABLE lake_leftovers (path TEXT PRIMARY KEY) STRICT;

  -- Every cut that an answer showed, with the moment from which it did, several to a row: [[us after from_us, cut, version_set], ...].
  CREATE TABLE reports (
    id INTEGER PRIMARY KEY, from_us INTEGER NOT NULL, to_us INTEGER NOT NULL, entries TEXT NOT NULL
  ) STRICT;
  CREATE INDEX reports_by_time ON reports (from_us);

  CREATE TABLE deploys (
    id INTEGER PRIMARY KEY,
    state TEXT NOT NULL,
    who TEXT NOT NULL,
    -- The request (project, options), the plan with its estimates, and how it went, as JSON.
    request TEXT NOT NULL,
    plan TEXT NOT NULL,
    outcome TEXT NOT NULL DEFAULT '{}',
    reason TEXT,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE check_results (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    deploy INTEGER REFERENCES deploys (id),
    cut INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    verdict TEXT NOT NULL CHECK (verdict IN ('green', 'red', 'error')),
    details TEXT NOT NULL
  ) STRICT;
  CREATE INDEX check_results_by_name ON check_results (name, id);

  -- Runs of verify over one view each; the report as JSON.
  CREATE TABLE verify_results (
    id INTEGER PRIMARY KEY, view TEXT NOT NULL, version TEXT NOT NULL, cut INTEGER NOT NULL, time_ms INTEGER NOT NULL,
    found INTEGER NOT NULL, report TEXT NOT NULL
  ) STRICT;
  CREATE INDEX verify_results_by_view ON verify_results (view, id);
  `,
  `
  -- How each view's slices come to be (kappa, lambda, hybrid), as JSON; a view that is not here runs as kappa. Moved by
  -- deploys, in the transaction that moves pointers.
  CREATE TABLE runs (view TEXT PRIMARY KEY, run TEXT NOT NULL, changed_ms INTEGER NOT NULL) STRICT;

  -- The cut T of the last published batch of a version; 0 while there is none. Slices up to it are the batch layer's.
  ALTER TABLE versions ADD COLUMN batch_cut INTEGER NOT NULL DEFAULT 0;

  CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    view TEXT NOT NULL,
    version TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'published', 'failed', 'skipped')),
    -- The cut T that it folds up to, and the T of the batch before.
    cut INTEGER NOT NULL,
    from_cut INTEGER NOT NULL,
    -- What T promises: by stream the next offset of each partition, and the watermark in us, as JSON.
    promise TEXT NOT NULL DEFAULT '{}',
    events INTEGER,
    -- How long that took, in ms.
    fold_ms INTEGER,
    -- Rows in which the batch differs from what was served at T; NULL until compared.
    divergence INTEGER,
    -- What that comparison came to, by kind and cause, as JSON.
    comparison TEXT,
    reason TEXT,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    FOREIGN KEY (view, version) REFERENCES versions (view, version)
  ) STRICT;
  CREATE INDEX batches_of_view ON batches (view, id);
  -- Which lake files a slice of the batch layer was folded from (path and checksum), as JSON: an incremental batch
  -- keeps the slice while they are the same.
  ALTER TABLE slices ADD COLUMN inputs TEXT;

  -- Of a version that holds late events back: those up to late_cut are a part of it; it began with late_from and goes on
  -- with the cuts of batches, never back. And after which cut, within its range, a slice of it leaves them out.
  ALTER TABLE versions ADD COLUMN late_from INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE versions ADD COLUMN late_cut INTEGER NOT NULL DEFAULT 0;
  -- By stream: how many late events the log had counted at late_from and at late_cut, as JSON.
  ALTER TABLE versions ADD COLUMN late_from_counts TEXT NOT NULL DEFAULT '{}';
  ALTER TABLE versions ADD COLUMN late_counts TEXT NOT NULL DEFAULT '{}';
  ALTER TABLE slices ADD COLUMN late_after INTEGER;

  -- A sample of the rows in which a batch differed from what was served.
  CREATE TABLE divergence (
    batch INTEGER NOT NULL REFERENCES batches (id),
    number INTEGER NOT NULL,
    -- 'changed', 'added' (the batch has it), 'removed' (what was served had it).
    what TEXT NOT NULL,
    cause TEXT NOT NULL,
    key TEXT NOT NULL,
    served TEXT,
    computed TEXT,
    PRIMARY KEY (batch, number)
  ) STRICT;

  -- Slice chains of views that run as hybrid, which are kept: a replay of the same version begins at one.
  CREATE TABLE snapshots (
    view TEXT NOT NULL, version TEXT NOT NULL, cut INTEGER NOT NULL, engine TEXT NOT NULL, made_ms INTEGER NOT NULL,
    -- Of its slices, relative to the data folder, as JSON.
    paths TEXT NOT NULL,
    PRIMARY KEY (view, version, cut)
  ) STRICT;

  -- Views that are not folded, because the engine failed on them again and again, or because somebody said so.
  CREATE TABLE paused (
    view TEXT NOT NULL, version TEXT NOT NULL, reason TEXT NOT NULL, time_ms INTEGER NOT NULL,
    PRIMARY KEY (view, version)
  ) STRICT;

  -- Where the logic of a view failed on an event: what it threw, with its place, and what it was given.
  ALTER TABLE skipped ADD COLUMN stack TEXT;
  ALTER TABLE skipped ADD COLUMN code TEXT NOT NULL DEFAULT 'EVENT_SKIPPED';

  -- Dead letters that were sent again, mended or dropped: which, when, by whom, and what became of them.
  CREATE TABLE dead_letter_acts (
    id INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, letters TEXT NOT NULL,
    outcome TEXT NOT NULL
  ) STRICT;
  `,
]
