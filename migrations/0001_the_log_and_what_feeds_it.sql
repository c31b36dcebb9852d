-- Rows of Sluice. What a row must be is said here, so that no path around the programs can store anything else.
--
-- Conventions
--   * Times are the database's clock, and only the database's clock decides anything.
--   * Numbers that Rust holds unsigned are checked to be positive (or not negative) here.
--   * Hashes, addresses, signed bytes are bytea with their exact length checked; money is numeric without a fraction.
--   * Rows are inserted and never changed, except: head (lease and epoch), node.last_seen, outbox (delivery),
--     api_key.revoked_at. Triggers refuse everything else, from the tables' owner too, because the owner is who the
--     programs connect as. They are per statement, so an insert pays nothing for them.
--   * Foreign keys never point at log or intake: their partitions move to object storage, and PostgreSQL refuses to
--     detach a partition that is pointed at.

-- ---------------------------------------------------------------------------------------------------------------
-- Tools
-- ---------------------------------------------------------------------------------------------------------------

-- A time as milliseconds since the Unix epoch, rounded down: a clock that is read never runs ahead of itself. Extracting
-- from a timestamptz is only STABLE, and a function that promises more than its body is never inlined: it would be planned
-- anew in every statement that calls it. From a timestamp it is IMMUTABLE.
CREATE FUNCTION millis(at timestamptz) RETURNS bigint
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN floor(extract(epoch FROM at AT TIME ZONE 'UTC') * 1000)::bigint;

-- The database's clock in whole milliseconds, so that what a row keeps is exactly what a ticket says.
CREATE FUNCTION clock_millis() RETURNS timestamptz
    LANGUAGE sql VOLATILE PARALLEL SAFE
    RETURN date_trunc('milliseconds', clock_timestamp());

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% on % is refused: its rows are never changed', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME,
              HINT = 'A mistake is corrected by a later entry of the log.';
END $$;

-- ---------------------------------------------------------------------------------------------------------------
-- Tenants, nodes, files
-- ---------------------------------------------------------------------------------------------------------------

CREATE TABLE project (
    id          uuid        PRIMARY KEY,
    name        text        NOT NULL UNIQUE CHECK (char_length(name) BETWEEN 1 AND 200),
    created_at  timestamptz NOT NULL DEFAULT clock_millis()
);

-- A key's secret is 32 random bytes that only its owner has; its SHA-256 finds it here.
CREATE TABLE api_key (
    id          uuid        PRIMARY KEY,
    project     uuid        NOT NULL REFERENCES project,
    hash        bytea       NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    label       text        NOT NULL CHECK (char_length(label) <= 200),
    created_at  timestamptz NOT NULL DEFAULT clock_millis(),
    revoked_at  timestamptz CHECK (revoked_at >= created_at)
);
CREATE INDEX api_key_project ON api_key (project);

CREATE FUNCTION allow_revocation_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.revoked_at IS NOT NULL OR NEW.revoked_at IS NULL
       OR (NEW.id, NEW.project, NEW.hash, NEW.label, NEW.created_at)
          IS DISTINCT FROM (OLD.id, OLD.project, OLD.hash, OLD.label, OLD.created_at) THEN
        RAISE EXCEPTION 'an API key can only be revoked, once' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER api_key_revocation BEFORE UPDATE ON api_key
    FOR EACH ROW EXECUTE FUNCTION allow_revocation_only();

-- Every process that starts takes a new number, and no number is ever given twice (a sequence does not go back, not
-- even for a transaction that was rolled back). So its intake rows start at n = 1, and nobody else continues them.
CREATE TABLE node (
    id          integer     GENERATED ALWAYS AS IDENTITY PRIMARY KEY CHECK (id > 0),
    holder      text        NOT NULL CHECK (char_length(holder) BETWEEN 1 AND 200),
    started_at  timestamptz NOT NULL DEFAULT clock_millis(),
    last_seen   timestamptz NOT NULL DEFAULT clock_millis() CHECK (last_seen >= started_at)
);

-- Snapshot files that are in storage, by the SHA-256 of the file.
CREATE TABLE snapshot (
    list_hash   bytea       PRIMARY KEY CHECK (octet_length(list_hash) = 32),
    uri         text        NOT NULL CHECK (char_length(uri) BETWEEN 1 AND 2000),
    size        bigint      NOT NULL CHECK (size > 0),
    added_at    timestamptz NOT NULL DEFAULT clock_millis()
);

-- ---------------------------------------------------------------------------------------------------------------
-- Intake: demands as they were accepted
-- ---------------------------------------------------------------------------------------------------------------

-- n is contiguous per campaign and node, from 1; the order of commits is the order of n, because one writer a node
-- gives the numbers inside the commit. The place, the estimate and decide_by are what the ticket promised, so that
-- the same id gets the same ticket for ever. A unique key of a partitioned table must hold the partition key, hence
-- partitions by campaign.
CREATE TABLE intake (
    campaign    uuid        NOT NULL,
    node        integer     NOT NULL CHECK (node > 0),
    n           bigint      NOT NULL CHECK (n > 0),
    claim_id    uuid        NOT NULL,
    body_hash   bytea       NOT NULL CHECK (octet_length(body_hash) = 32),
    body        bytea       NOT NULL CHECK (octet_length(body) BETWEEN 1 AND 1048576),
    place       bigint      NOT NULL CHECK (place >= 0),
    estimate_ms bigint      NOT NULL CHECK (estimate_ms >= 0),
    accepted_at timestamptz NOT NULL DEFAULT clock_millis()
                            CHECK (accepted_at = date_trunc('milliseconds', accepted_at)),
    decide_by   timestamptz NOT NULL CHECK (decide_by >= accepted_at),
    CONSTRAINT intake_pkey PRIMARY KEY (campaign, node, n),
    CONSTRAINT intake_claim_id UNIQUE (campaign, claim_id)
) PARTITION BY HASH (campaign);

DO $$
BEGIN
    -- Sixteen: enough that campaigns spread over vacuum workers and files, few enough that planning stays cheap.
    FOR i IN 0..15 LOOP
        EXECUTE format('CREATE TABLE intake_%s PARTITION OF intake FOR VALUES WITH (MODULUS 16, REMAINDER %s)',
                       to_char(i, 'FM00'), i);
    END LOOP;
END $$;

-- ---------------------------------------------------------------------------------------------------------------
-- The head and the log
-- ---------------------------------------------------------------------------------------------------------------

-- Who may append. An append locks this row under its epoch and does not change it; taking the epoch changes it, and
-- waits for that lock. The lease only decides when somebody else may try; safety rests on the epoch.
CREATE TABLE head (
    stream      integer     PRIMARY KEY CHECK (stream >= 0),
    epoch       bigint      NOT NULL CHECK (epoch > 0),
    holder      text        NOT NULL CHECK (char_length(holder) BETWEEN 1 AND 200),
    lease_until timestamptz NOT NULL
);

CREATE FUNCTION keep_epoch_rising() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.stream <> OLD.stream OR NEW.epoch < OLD.epoch
       OR (NEW.epoch = OLD.epoch AND NEW.holder <> OLD.holder) THEN
        RAISE EXCEPTION 'epoch % of stream % held by % cannot become epoch % held by %',
            OLD.epoch, OLD.stream, OLD.holder, NEW.epoch, NEW.holder USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER head_epoch_rises BEFORE UPDATE ON head FOR EACH ROW EXECUTE FUNCTION keep_epoch_rising();

-- The order of everything. campaign, node, n name the intake row that an entry answers, where there is one.
CREATE TABLE log (
    stream      integer     NOT NULL CHECK (stream >= 0),
    seq         bigint      NOT NULL CHECK (seq > 0),
    epoch       bigint      NOT NULL CHECK (epoch > 0),
    kind        smallint    NOT NULL CHECK (kind > 0),
    -- One format byte, then borsh; the largest are voids and publications of ten thousand items.
    entry       bytea       NOT NULL CHECK (octet_length(entry) BETWEEN 2 AND 16777216),
    -- RFC 6962 leaf hash of the entry: SHA-256 of a zero byte and the entry.
    leaf        bytea       NOT NULL CHECK (octet_length(leaf) = 32),
    campaign    uuid,
    node        integer     CHECK (node > 0),
    n           bigint      CHECK (n > 0),
    CONSTRAINT log_pkey PRIMARY KEY (stream, seq),
    CONSTRAINT log_intake_whole CHECK (num_nulls(campaign, node, n) IN (0, 3))
) PARTITION BY RANGE (seq);
-- Finds what became of a demand. It cannot be unique: a unique key would have to hold seq.
CREATE INDEX log_intake ON log (campaign, node, n) WHERE campaign IS NOT NULL;

-- Makes sure that every position up to `up_to` has a partition; returns how many were made. Partition p holds
-- positions from p times ten million. A table is made beside the log and then attached, because that locks out
-- neither readers nor the leader, whereas CREATE TABLE … PARTITION OF does. Partitions that were moved away (older
-- than one that exists) are not made again.
CREATE FUNCTION ensure_log_partitions(up_to bigint) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    rows_each CONSTANT bigint := 10000000;
    wanted    bigint := up_to / rows_each;
    made      integer := 0;
    part      text;
BEGIN
    -- Two nodes that start together would otherwise both find it missing.
    PERFORM pg_advisory_xact_lock(hashtext('ensure_log_partitions'));
    LOOP
        part := 'log_' || to_char(wanted, 'FM0000000000');
        EXIT WHEN wanted < 0 OR to_regclass(part) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I (LIKE log INCLUDING ALL)', part);
        EXECUTE format('ALTER TABLE log ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
                       part, wanted * rows_each, (wanted + 1) * rows_each);
        EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', part);
        made := made + 1;
        wanted := wanted - 1;
    END LOOP;
    RETURN made;
END $$;
SELECT ensure_log_partitions(1);

-- Full tiles of the Merkle log: 256 node hashes of a level, in order, written by the append that completes them. Tile n of
-- level l covers leaves from n * 256^(l+1). Level 0 would repeat log.leaf, so it is not kept.
CREATE TABLE tile (
    stream      integer     NOT NULL CHECK (stream >= 0),
    level       smallint    NOT NULL CHECK (level BETWEEN 1 AND 7),
    n           bigint      NOT NULL CHECK (n >= 0),
    hashes      bytea       NOT NULL CHECK (octet_length(hashes) = 256 * 32),
    PRIMARY KEY (stream, level, n)
);

-- Signed transactions, committed before a byte of them leaves, with the position of their AttemptSigned entry.
CREATE TABLE attempt (
    stream      integer     NOT NULL CHECK (stream >= 0),
    seq         bigint      NOT NULL CHECK (seq > 0),
    campaign    uuid        NOT NULL,
    batch       bigint      NOT NULL CHECK (batch >= 0),
    chain       bigint      NOT NULL CHECK (chain > 0),
    lane        bytea       NOT NULL CHECK (octet_length(lane) = 20),
    nonce       bigint      NOT NULL CHECK (nonce >= 0),
    -- The transaction's own hash, and the bytes that go on the wire (geth refuses more than 128 KiB).
    hash        bytea       NOT NULL UNIQUE CHECK (octet_length(hash) = 32),
    raw         bytea       NOT NULL CHECK (octet_length(raw) BETWEEN 1 AND 131072),
    PRIMARY KEY (chain, lane, nonce, hash)
);
CREATE INDEX attempt_batch ON attempt (campaign, batch, seq);

-- What transactions of campaigns with a spend limit cost, wei: at most, before they are signed; truly, once mined.
CREATE TABLE spending (
    chain       bigint      NOT NULL CHECK (chain > 0),
    campaign    uuid        NOT NULL,
    lane        bytea       NOT NULL CHECK (octet_length(lane) = 20),
    nonce       bigint      NOT NULL CHECK (nonce >= 0),
    mined       boolean     NOT NULL,
    wei         numeric(39) NOT NULL CHECK (wei >= 0),
    at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (chain, campaign, lane, nonce, mined, wei)
);
CREATE INDEX spending_at ON spending (chain, campaign, at);

-- The ledger in double entry: what a group moved, per campaign and account, at the group's last position. Accounts:
-- 1 funded (negative: the other side of every deposit), 2 free, 3 reserved, 4 paid, 5 voided, 6 swept.
CREATE TABLE posting (
    stream      integer     NOT NULL CHECK (stream >= 0),
    seq         bigint      NOT NULL CHECK (seq > 0),
    campaign    uuid        NOT NULL,
    kind        smallint    NOT NULL CHECK (kind BETWEEN 1 AND 6),
    -- Base units, signed. A total of uint96 amounts stays within 38 digits.
    amount      numeric(39) NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (stream, seq, campaign, kind)
);
CREATE INDEX posting_campaign ON posting (campaign, kind) INCLUDE (amount);

-- Both sides of a movement come in one statement, so each statement must balance; a deferred trigger per row says the
-- same at several times the price.
CREATE FUNCTION balance_postings() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    off record;
BEGIN
    SELECT stream, seq, campaign, sum(amount) AS amount INTO off
        FROM added GROUP BY stream, seq, campaign HAVING sum(amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'postings at % of stream % for campaign % are off by %',
            off.seq, off.stream, off.campaign, off.amount
            USING ERRCODE = 'check_violation', TABLE = 'posting', CONSTRAINT = 'posting_balances';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER posting_balances AFTER INSERT ON posting
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION balance_postings();

-- What the policies of a gate saw when they decided a claim: salted canonical bytes whose SHA-256 stands in the entry at
-- this position. They may hold personal data, so they stand beside the log, each sealed under a key of its own that lies
-- beside it: erasure deletes the row, and so both, and the proof stands. A table of the keys cost each claim a second row.
CREATE TABLE fact (
    stream      integer     NOT NULL CHECK (stream >= 0),
    seq         bigint      NOT NULL CHECK (seq > 0),
    -- Whom they are about: a person (32 bytes), else an address (20 bytes).
    about       bytea       NOT NULL CHECK (octet_length(about) IN (20, 32)),
    -- Sealed: at most 65536 bytes, and 16 of the seal.
    body        bytea       NOT NULL CHECK (octet_length(body) BETWEEN 17 AND 65552),
    -- Its key, wrapped by the nodes' seal key, which is named by 8 bytes of a hash of it.
    seal_key    bytea       NOT NULL CHECK (octet_length(seal_key) = 8),
    -- A nonce, the key, an authenticator.
    wrapped     bytea       NOT NULL CHECK (octet_length(wrapped) = 24 + 32 + 16),
    PRIMARY KEY (stream, seq)
);
CREATE INDEX fact_about ON fact (about, stream);

-- Who is to be erased, and why. The leader carries it out, and the log says what went. The operator orders it
-- and alone answers for it: no institution's word stands here, for none signs an order.
CREATE TABLE erasure (
    id           bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stream       integer     NOT NULL CHECK (stream >= 0),
    about        bytea       NOT NULL CHECK (octet_length(about) IN (20, 32)),
    reason       text        NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 500),
    -- Also while decided payments wait for their gate's word, which then may never come.
    although_unpaid boolean  NOT NULL,
    ordered_at   timestamptz NOT NULL DEFAULT clock_millis()
);
CREATE INDEX erasure_about ON erasure (about, stream);

-- Those that are not done: a row goes in the append of the order's last entry.
CREATE TABLE erasure_open (
    erasure      bigint      PRIMARY KEY REFERENCES erasure,
    stream       integer     NOT NULL CHECK (stream >= 0)
);

-- What the entry at a position destroyed, written in its append.
CREATE TABLE erased (
    stream       integer     NOT NULL CHECK (stream >= 0),
    seq          bigint      NOT NULL CHECK (seq > 0),
    erasure      bigint      NOT NULL REFERENCES erasure,
    facts        bigint      NOT NULL CHECK (facts >= 0),
    attestations bigint      NOT NULL CHECK (attestations >= 0),
    -- How many of these named somebody else, too.
    shared       bigint      NOT NULL CHECK (shared BETWEEN 0 AND attestations),
    last         boolean     NOT NULL,
    at           timestamptz NOT NULL DEFAULT clock_millis(),
    PRIMARY KEY (stream, seq)
);
CREATE INDEX erased_erasure ON erased (erasure);

-- ---------------------------------------------------------------------------------------------------------------
-- Attestations: a stage of its own, which shares nothing with intake
-- ---------------------------------------------------------------------------------------------------------------

-- Signed statements that passed the checks which need no claim, by the id that tells them apart (kind, contract, issuer
-- and uid). schema is the SHA-256 of its text form. Each lies beside its own key: erasure deletes the row, and so both, so that
-- somebody who comes back can hand it in again. A table of keys was a third look-up for each attestation of each claim.
CREATE TABLE attestation (
    id          bytea       PRIMARY KEY CHECK (octet_length(id) = 32),
    uid         bytea       NOT NULL CHECK (octet_length(uid) = 32),
    issuer      bytea       NOT NULL CHECK (octet_length(issuer) = 20),
    schema      bytea       NOT NULL CHECK (octet_length(schema) = 32),
    -- Sealed; 16 bytes more than what was handed in.
    body        bytea       NOT NULL CHECK (octet_length(body) BETWEEN 18 AND 65552),
    -- Its key, as those of facts.
    seal_key    bytea       NOT NULL CHECK (octet_length(seal_key) = 8),
    wrapped     bytea       NOT NULL CHECK (octet_length(wrapped) = 24 + 32 + 16),
    -- Whether a key signed it, as was checked. Whoever changes this breaks the seal.
    signed_by_key boolean   NOT NULL,
    received_at timestamptz NOT NULL DEFAULT clock_millis()
);
CREATE INDEX attestation_received_at ON attestation (received_at);

-- Whom they are about: an address (20 bytes) or a person (32 bytes). The newest about somebody are read from the end of an
-- index, whoever crowds them.
CREATE TABLE attestation_subject (
    subject     bytea       NOT NULL CHECK (octet_length(subject) IN (20, 32)),
    schema      bytea       NOT NULL CHECK (octet_length(schema) = 32),
    -- The attestation's own.
    received_at timestamptz NOT NULL,
    attestation bytea       NOT NULL REFERENCES attestation ON DELETE CASCADE,
    PRIMARY KEY (subject, schema, received_at, attestation)
);
CREATE INDEX attestation_subject_attestation ON attestation_subject (attestation);

-- ---------------------------------------------------------------------------------------------------------------
-- What is made from the log
-- ---------------------------------------------------------------------------------------------------------------

-- Signed tree heads with the state hash, as a C2SP note. size is the number of entries covered.
CREATE TABLE checkpoint (
    stream      integer     NOT NULL CHECK (stream >= 0),
    size        bigint      NOT NULL CHECK (size > 0),
    note        text        NOT NULL CHECK (octet_length(note) BETWEEN 1 AND 65536),
    state_hash  bytea       NOT NULL CHECK (octet_length(state_hash) = 32),
    made_at     timestamptz NOT NULL DEFAULT clock_millis(),
    PRIMARY KEY (stream, size)
);

-- State dumps to start from: the bytes of State after seq, cut into pages. A dump counts only when all of its pages
-- are there. Dumps can be made again, so old ones are deleted.
CREATE TABLE state_page (
    stream      integer     NOT NULL CHECK (stream >= 0),
    seq         bigint      NOT NULL CHECK (seq > 0),
    page        integer     NOT NULL CHECK (page >= 0 AND page < pages),
    pages       integer     NOT NULL CHECK (pages > 0),
    bytes       bytea       NOT NULL CHECK (octet_length(bytes) BETWEEN 1 AND 1048576),
    PRIMARY KEY (stream, seq, page)
);

-- Webhooks to deliver, taken with SKIP LOCKED; those done are deleted by whoever delivered them.
CREATE TABLE outbox (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    project     uuid        NOT NULL REFERENCES project,
    topic       text        NOT NULL CHECK (char_length(topic) BETWEEN 1 AND 200),
    body        bytea       NOT NULL CHECK (octet_length(body) BETWEEN 1 AND 65536),
    due_at      timestamptz NOT NULL DEFAULT clock_millis(),
    tries       smallint    NOT NULL DEFAULT 0 CHECK (tries >= 0)
);
CREATE INDEX outbox_due ON outbox (due_at);

-- ---------------------------------------------------------------------------------------------------------------
-- What is never changed
-- ---------------------------------------------------------------------------------------------------------------

-- log's own partitions get theirs from ensure_log_partitions; a statement that names the parent meets the parent's.
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT unnest(ARRAY['project', 'snapshot', 'intake', 'log', 'tile', 'attempt', 'spending', 'posting', 'checkpoint',
                                    'erasure', 'erased'])
                UNION ALL SELECT 'intake_' || to_char(i, 'FM00') FROM generate_series(0, 15) i LOOP
        EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
    END LOOP;
    FOR name IN SELECT unnest(ARRAY['node', 'head', 'api_key']) LOOP
        EXECUTE format('CREATE TRIGGER refuse_change BEFORE DELETE OR TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
    END LOOP;
END $$;
CREATE TRIGGER refuse_change BEFORE UPDATE ON state_page FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- What is about people may be erased, and nothing else done to it.
DO $$
DECLARE
    name text;
BEGIN
    FOR name IN SELECT unnest(ARRAY['attestation_subject', 'erasure_open']) LOOP
        EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
    END LOOP;
    -- A data key may be put under another seal key; whose it is and what it opens stays.
    FOR name IN SELECT unnest(ARRAY['fact', 'attestation']) LOOP
        EXECUTE format('CREATE TRIGGER refuse_change BEFORE TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', name);
        EXECUTE format('CREATE TRIGGER refuse_same_seal BEFORE UPDATE ON %I FOR EACH ROW
                        WHEN (NEW.seal_key = OLD.seal_key) EXECUTE FUNCTION refuse_change()', name);
    END LOOP;
END $$;
CREATE TRIGGER refuse_move BEFORE UPDATE OF stream, seq, about, body ON fact
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER refuse_move BEFORE UPDATE OF id, uid, issuer, schema, body, signed_by_key, received_at ON attestation
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
