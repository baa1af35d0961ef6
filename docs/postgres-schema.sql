-- The tables and functions of prefix "omnibus", layout 4, in the schema "public", which has to be there.
-- Run it as the user who owns them, or is to: it makes all of it where there is nothing, and brings an older layout up to date.
DO $create$ BEGIN
  SET LOCAL lock_timeout = '5s';
  SET LOCAL check_function_bodies = off;
  PERFORM pg_advisory_xact_lock(8090734968075976704);
  IF EXISTS (SELECT FROM pg_catalog.pg_tables
    WHERE schemaname = 'public' AND tablename = 'omnibus_meta') THEN
    IF (SELECT value = '1' FROM "public"."omnibus_meta" WHERE key = 'layout') THEN
ALTER TABLE "public"."omnibus_delayed" ADD COLUMN event text COLLATE "C";
UPDATE "public"."omnibus_delayed" SET event = encode(broker, 'hex')::uuid::text;
CREATE INDEX "omnibus_delayed_event" ON "public"."omnibus_delayed" (event);
CREATE OR REPLACE FUNCTION "public"."omnibus_1_move_due"(most int) RETURNS TABLE (o_moved int, o_next bigint, o_streams int[]) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $move_due$
#variable_conflict use_column
DECLARE now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint; ids bigint[]; full_ int[] := '{}'; before_ int; locked_ boolean := false; s record; d record; last_ record; held_m bigint; held_b bigint; waits bigint;
BEGIN
  o_moved := 0; o_streams := '{}';
  IF NOT pg_try_advisory_xact_lock((8090734968344412160)) THEN -- one at a time, or what one passes by would come behind what another took
    o_next := 50;
    RETURN NEXT;
    RETURN;
  END IF;
  LOOP -- what waits for a full stream is not in the way of others'; looked at without locks first, which are taken in order and once
    ids := ARRAY(SELECT id FROM "public"."omnibus_delayed" WHERE due <= now_ms AND stream <> ALL (full_) ORDER BY due, id LIMIT most FOR UPDATE SKIP LOCKED);
    IF locked_ THEN
      FOR s IN SELECT DISTINCT x.stream, x.partition FROM "public"."omnibus_delayed" x WHERE x.id = ANY (ids) ORDER BY x.stream, x.partition LOOP
        PERFORM pg_advisory_xact_lock((8090734967002234880)::bigint + ((s.stream % 65536)::bigint << 12) + s.partition);
      END LOOP;
    END IF;
    before_ := cardinality(full_);
    FOR s IN SELECT t.id, t.max_bytes, t.max_messages FROM "public"."omnibus_stream" t WHERE NOT t.gone AND t.when_full = 'reject' AND NOT t.queue
        AND t.id IN (SELECT x.stream FROM "public"."omnibus_delayed" x WHERE x.id = ANY (ids)) LOOP
      SELECT sum(coalesce(l.seq, p.first - 1) - p.first + 1), sum(coalesce(l.total, p.cut) - p.cut) INTO held_m, held_b
        FROM "public"."omnibus_part" p LEFT JOIN LATERAL (
          SELECT seq, total FROM "public"."omnibus_log" WHERE stream = p.stream AND partition = p.partition ORDER BY seq DESC LIMIT 1) l ON true
        WHERE p.stream = s.id;
      IF held_m >= s.max_messages OR held_b >= s.max_bytes THEN full_ := full_ || s.id; END IF;
    END LOOP;
    EXIT WHEN locked_;
    locked_ := cardinality(full_) = before_;
  END LOOP;
  FOR d IN SELECT x.* FROM "public"."omnibus_delayed" x WHERE x.id = ANY (ids) AND x.stream <> ALL (full_) ORDER BY x.due, x.id LOOP
    SELECT l.seq, l.total, l.at INTO last_ FROM "public"."omnibus_log" l WHERE l.stream = d.stream AND l.partition = d.partition ORDER BY l.seq DESC LIMIT 1;
    IF NOT FOUND THEN
      SELECT p.first - 1 AS seq, p.cut AS total, 0::bigint AS at INTO last_ FROM "public"."omnibus_part" p WHERE p.stream = d.stream AND p.partition = d.partition;
      IF FOUND THEN
      SELECT greatest(last_.seq, max(x.seq)) INTO last_.seq FROM (
        SELECT max(c.seq) FROM "public"."omnibus_claimed" c WHERE c.stream = d.stream AND c.partition = d.partition
        UNION ALL SELECT max(p.cursor) FROM "public"."omnibus_place" p WHERE p.stream = d.stream AND p.partition = d.partition
        UNION ALL SELECT max(greatest(g.cursor, g.out)) FROM "public"."omnibus_progress" g WHERE g.stream = d.stream AND g.partition = d.partition) AS x(seq);
      UPDATE "public"."omnibus_part" SET first = last_.seq + 1 WHERE stream = d.stream AND partition = d.partition AND first <= last_.seq;
      END IF;
    END IF;
    IF last_.seq IS NOT NULL THEN
      INSERT INTO "public"."omnibus_log" (stream, partition, seq, at, total, expires, broker, topic, key, headers, body)
        VALUES (d.stream, d.partition, last_.seq + 1, greatest(last_.at, now_ms), last_.total + octet_length(d.body), d.expires,
          CASE WHEN EXISTS (SELECT FROM "public"."omnibus_log" o WHERE o.stream = d.stream AND o.broker = d.broker) THEN NULL ELSE d.broker END,
          d.topic, d.key, d.headers, d.body);
    END IF;
    DELETE FROM "public"."omnibus_delayed" WHERE id = d.id;
    o_moved := o_moved + 1;
    IF d.stream <> ALL (o_streams) THEN o_streams := o_streams || d.stream; END IF;
  END LOOP;
  SELECT min(x.due) INTO waits FROM "public"."omnibus_delayed" x WHERE x.stream <> ALL (full_) AND x.due < 4611686018427387904;
  o_next := CASE WHEN waits IS NOT NULL THEN greatest(0, waits - now_ms) END; -- of nothing and 0 it would be 0
  IF cardinality(full_) > 0 THEN o_next := least(coalesce(o_next, 1000), 1000); END IF;
  RETURN NEXT;
END $move_due$;
CREATE OR REPLACE FUNCTION "public"."omnibus_1_find"(of_stream int, brokers bytea[], window_ms bigint)
RETURNS TABLE (at_index int, at_partition smallint, at_seq bigint) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $find$
DECLARE old bigint := floor(extract(epoch FROM clock_timestamp()) * 1000) - window_ms;
BEGIN
  UPDATE "public"."omnibus_log" SET broker = NULL WHERE stream = of_stream AND broker = ANY (brokers) AND at <= old;
  DELETE FROM "public"."omnibus_delayed" WHERE stream = of_stream AND broker = ANY (brokers) AND due BETWEEN 4611686018427387904 AND 4611686018427387904 + old;
  RETURN QUERY SELECT b.i::int, l.partition, l.seq FROM unnest(brokers) WITH ORDINALITY b(id, i)
    JOIN "public"."omnibus_log" l ON l.stream = of_stream AND l.broker = b.id
    UNION ALL SELECT b.i::int, NULL, NULL FROM unnest(brokers) WITH ORDINALITY b(id, i)
    JOIN "public"."omnibus_delayed" d ON d.stream = of_stream AND d.broker = b.id;
END $find$;
      UPDATE "public"."omnibus_meta" SET value = '2' WHERE key = 'layout';
    END IF;
    IF (SELECT value = '2' FROM "public"."omnibus_meta" WHERE key = 'layout') THEN
DROP INDEX "public"."omnibus_claim_free";
CREATE INDEX "omnibus_claim_free" ON "public"."omnibus_claim" (grp, stream, partition, first) WHERE member IS NULL;
DROP INDEX "public"."omnibus_schedule_due";
CREATE INDEX "omnibus_schedule_due" ON "public"."omnibus_schedule" ((coalesce(not_before, 0)), n);
CREATE OR REPLACE FUNCTION "public"."omnibus_1_move_due"(most int) RETURNS TABLE (o_moved int, o_next bigint, o_streams int[]) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $move_due$
#variable_conflict use_column
DECLARE now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint; ids bigint[]; full_ int[] := '{}'; before_ int; locked_ boolean := false; s record; d record; last_ record; held_m bigint; held_b bigint; waits bigint;
BEGIN
  o_moved := 0; o_streams := '{}';
  IF NOT pg_try_advisory_xact_lock((8090734968344412160)) THEN -- one at a time, or what one passes by would come behind what another took
    o_next := 50;
    RETURN NEXT;
    RETURN;
  END IF;
  LOOP -- what waits for a full stream is not in the way of others'; looked at without locks first, which are taken in order and once
    ids := ARRAY(SELECT id FROM "public"."omnibus_delayed" WHERE due <= now_ms AND stream <> ALL (full_) ORDER BY due, id LIMIT most FOR UPDATE SKIP LOCKED);
    IF locked_ THEN
      FOR s IN SELECT DISTINCT x.stream, x.partition FROM "public"."omnibus_delayed" x WHERE x.id = ANY (ids) ORDER BY x.stream, x.partition LOOP
        PERFORM pg_advisory_xact_lock((8090734967002234880)::bigint + ((s.stream % 65536)::bigint << 12) + s.partition);
      END LOOP;
    END IF;
    before_ := cardinality(full_);
    FOR s IN SELECT t.id, t.max_bytes, t.max_messages FROM "public"."omnibus_stream" t WHERE NOT t.gone AND t.when_full = 'reject' AND NOT t.queue
        AND t.id IN (SELECT x.stream FROM "public"."omnibus_delayed" x WHERE x.id = ANY (ids)) LOOP
      SELECT sum(coalesce(l.seq, p.first - 1) - p.first + 1), sum(coalesce(l.total, p.cut) - p.cut) INTO held_m, held_b
        FROM "public"."omnibus_part" p LEFT JOIN LATERAL (
          SELECT seq, total FROM "public"."omnibus_log" WHERE stream = p.stream AND partition = p.partition ORDER BY seq DESC LIMIT 1) l ON true
        WHERE p.stream = s.id;
      IF held_m >= s.max_messages OR held_b >= s.max_bytes THEN full_ := full_ || s.id; END IF;
    END LOOP;
    EXIT WHEN locked_;
    locked_ := cardinality(full_) = before_;
  END LOOP;
  FOR d IN SELECT x.* FROM "public"."omnibus_delayed" x WHERE x.id = ANY (ids) AND x.stream <> ALL (full_) ORDER BY x.due, x.id LOOP
    SELECT l.seq, l.total, l.at INTO last_ FROM "public"."omnibus_log" l WHERE l.stream = d.stream AND l.partition = d.partition ORDER BY l.seq DESC LIMIT 1;
    IF NOT FOUND THEN
      SELECT p.first - 1 AS seq, p.cut AS total, 0::bigint AS at INTO last_ FROM "public"."omnibus_part" p WHERE p.stream = d.stream AND p.partition = d.partition;
      IF FOUND THEN
      SELECT greatest(last_.seq, max(x.seq)) INTO last_.seq FROM (
        SELECT max(c.seq) FROM "public"."omnibus_claimed" c WHERE c.stream = d.stream AND c.partition = d.partition
        UNION ALL SELECT max(p.cursor) FROM "public"."omnibus_place" p WHERE p.stream = d.stream AND p.partition = d.partition
        UNION ALL SELECT max(greatest(g.cursor, g.out)) FROM "public"."omnibus_progress" g WHERE g.stream = d.stream AND g.partition = d.partition) AS x(seq);
      UPDATE "public"."omnibus_part" SET first = last_.seq + 1 WHERE stream = d.stream AND partition = d.partition AND first <= last_.seq;
      END IF;
    END IF;
    IF last_.seq IS NOT NULL THEN
      INSERT INTO "public"."omnibus_log" (stream, partition, seq, at, total, expires, broker, topic, key, headers, body)
        VALUES (d.stream, d.partition, last_.seq + 1, greatest(last_.at, now_ms), last_.total + octet_length(d.body), d.expires,
          CASE WHEN EXISTS (SELECT FROM "public"."omnibus_log" o WHERE o.stream = d.stream AND o.broker = d.broker) THEN NULL ELSE d.broker END,
          d.topic, d.key, d.headers, d.body);
    END IF;
    DELETE FROM "public"."omnibus_delayed" WHERE id = d.id;
    o_moved := o_moved + 1;
    IF d.stream <> ALL (o_streams) THEN o_streams := o_streams || d.stream; END IF;
  END LOOP;
  SELECT min(x.due) INTO waits FROM "public"."omnibus_delayed" x WHERE x.stream <> ALL (full_) AND x.due < 4611686018427387904;
  o_next := CASE WHEN waits IS NOT NULL THEN greatest(0, waits - now_ms) END; -- of nothing and 0 it would be 0
  IF cardinality(full_) > 0 THEN o_next := least(coalesce(o_next, 1000), 1000); END IF;
  RETURN NEXT;
END $move_due$;
CREATE OR REPLACE FUNCTION "public"."omnibus_1_append"(
  of_stream int, parts smallint[], places bigint[], topics text[], keys text[], all_headers text[],
  brokers bytea[], all_expires bigint[], bodies bytea[], checked boolean
) RETURNS bigint[] LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $append$
DECLARE
  seqs bigint[]; totals bigint[]; ats bigint[]; now_ms bigint; most_bytes bigint; most_messages bigint;
  held_messages bigint := -1; held_bytes bigint := -1; s bigint; t bigint; a bigint;
BEGIN
  FOR i IN 1 .. cardinality(parts) LOOP PERFORM pg_advisory_xact_lock((8090734967002234880)::bigint + ((of_stream % 65536)::bigint << 12) + parts[i]); END LOOP;
  SELECT max_bytes, max_messages INTO most_bytes, most_messages FROM "public"."omnibus_stream" WHERE id = of_stream AND NOT gone;
  IF NOT FOUND THEN RAISE EXCEPTION 'no such stream' USING ERRCODE = 'OM002'; END IF;
  now_ms := floor(extract(epoch FROM clock_timestamp()) * 1000);
  IF checked THEN
    SELECT sum(coalesce(l.seq, p.first - 1) - p.first + 1), sum(coalesce(l.total, p.cut) - p.cut)
      INTO held_messages, held_bytes
      FROM "public"."omnibus_part" p LEFT JOIN LATERAL (
        SELECT seq, total FROM "public"."omnibus_log" WHERE stream = of_stream AND partition = p.partition ORDER BY seq DESC LIMIT 1) l ON true
      WHERE p.stream = of_stream;
    held_messages := held_messages + cardinality(bodies);
    held_bytes := held_bytes + (SELECT sum(length(body)) FROM unnest(bodies) body);
    IF held_bytes > most_bytes OR held_messages > most_messages THEN
      RAISE EXCEPTION 'full' USING ERRCODE = 'OM001', DETAIL = format('%s %s',
        coalesce(most_messages - held_messages + cardinality(bodies), 2147483647),
        most_bytes - held_bytes + (SELECT sum(length(body)) FROM unnest(bodies) body));
    END IF;
  END IF;
  FOR i IN 1 .. cardinality(parts) LOOP
    SELECT seq, total, at INTO s, t, a FROM "public"."omnibus_log" WHERE stream = of_stream AND partition = parts[i] ORDER BY seq DESC LIMIT 1;
    IF NOT FOUND THEN
      SELECT first - 1, cut, 0 INTO STRICT s, t, a FROM "public"."omnibus_part" WHERE stream = of_stream AND partition = parts[i];
      SELECT greatest(s, max(x.seq)) INTO s FROM (
        SELECT max(c.seq) FROM "public"."omnibus_claimed" c WHERE c.stream = of_stream AND c.partition = parts[i]
        UNION ALL SELECT max(p.cursor) FROM "public"."omnibus_place" p WHERE p.stream = of_stream AND p.partition = parts[i]
        UNION ALL SELECT max(greatest(g.cursor, g.out)) FROM "public"."omnibus_progress" g WHERE g.stream = of_stream AND g.partition = parts[i]) AS x(seq);
      UPDATE "public"."omnibus_part" SET first = s + 1 WHERE stream = of_stream AND partition = parts[i] AND first <= s;
    END IF;
    seqs[i] := s; totals[i] := t; ats[i] := greatest(a, now_ms);
  END LOOP;
  INSERT INTO "public"."omnibus_log" (stream, partition, seq, at, total, expires, broker, topic, key, headers, body)
    SELECT of_stream, parts[(m.place >> 42)::int], seqs[(m.place >> 42)::int] + (m.place >> 32 & 1023), ats[(m.place >> 42)::int],
           totals[(m.place >> 42)::int] + (m.place & 4294967295), now_ms + m.expires, m.broker, m.topic, m.key, m.headers, m.body
      FROM unnest(places, topics, keys, all_headers, brokers, all_expires, bodies)
        AS m(place, topic, key, headers, broker, expires, body);
  RETURN seqs || held_messages || held_bytes;
END $append$;
CREATE OR REPLACE FUNCTION "public"."omnibus_1_read"(
  of_stream int, of_partition smallint, after bigint, scan int, most int, most_bytes bigint, pattern text,
  OUT seqs bigint[], OUT reached bigint, OUT newest bigint, OUT expired int, OUT missed bigint, OUT bytes bigint
) LANGUAGE plpgsql VOLATILE AS $read$
DECLARE exact text[]; upper bigint; to_ bigint; size bigint; looked int; last_looked bigint; oldest bigint; now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint;
BEGIN
  expired := 0; bytes := 0; reached := after; missed := 0;
  SELECT p.first INTO oldest FROM "public"."omnibus_part" p WHERE p.stream = of_stream AND p.partition = of_partition;
  SELECT l.seq INTO newest FROM "public"."omnibus_log" l WHERE l.stream = of_stream AND l.partition = of_partition ORDER BY l.seq DESC LIMIT 1;
  newest := coalesce(newest, oldest - 1, 0);
  IF after < oldest - 1 THEN missed := oldest - 1 - after; reached := oldest - 1; END IF;
  IF newest <= reached OR most <= 0 OR most_bytes <= 0 THEN RETURN; END IF;
  IF newest - reached > 16 THEN exact := CASE WHEN pattern ~ '^\^\(\?:(\w|\||\\[^\w|])+\)\$$'
    THEN string_to_array(regexp_replace(substr(pattern, 5, length(pattern) - 6), '\\(.)', '\1', 'g'), '|') END; END IF;
  -- mostly all of what comes next is wanted, and less than there is room for: then its bytes need no counting
  to_ := least(newest, reached + least(scan, most));
  SELECT u.total - l.total + octet_length(l.body) INTO size FROM "public"."omnibus_log" l, "public"."omnibus_log" u
    WHERE l.stream = of_stream AND l.partition = of_partition AND l.seq = reached + 1
      AND u.stream = of_stream AND u.partition = of_partition AND u.seq = to_;
  IF size <= most_bytes THEN
    SELECT array_agg(s.seq) INTO seqs
      FROM (SELECT l.seq FROM "public"."omnibus_log" l
              WHERE l.stream = of_stream AND l.partition = of_partition AND l.seq > reached AND l.seq <= to_
                AND (pattern IS NULL OR CASE WHEN exact IS NOT NULL THEN l.topic = ANY (exact) ELSE l.topic ~ pattern END) AND (l.expires IS NULL OR l.expires > now_ms)
              ORDER BY l.seq) s;
    IF cardinality(seqs) = to_ - reached THEN bytes := size; reached := to_; RETURN; END IF;
  END IF;
  upper := least(newest, reached + scan);
  SELECT array_agg(r.seq ORDER BY r.seq) FILTER (WHERE NOT r.over), count(*) FILTER (WHERE r.over), count(*), max(r.seq), coalesce(max(r.so_far), 0)
    INTO seqs, expired, looked, last_looked, bytes
    FROM (SELECT l.seq, coalesce(l.expires <= now_ms, false) AS over, octet_length(l.body) AS size,
                 sum(octet_length(l.body)) OVER (ORDER BY l.seq) AS so_far
            FROM "public"."omnibus_log" l
            WHERE l.stream = of_stream AND l.partition = of_partition AND l.seq > reached AND l.seq <= upper
              AND (pattern IS NULL OR CASE WHEN exact IS NOT NULL THEN l.topic = ANY (exact) ELSE l.topic ~ pattern END)
            ORDER BY l.seq LIMIT most) r
    WHERE r.so_far - r.size < most_bytes;
  reached := CASE WHEN looked < most AND bytes < most_bytes THEN upper ELSE last_looked END;
END $read$;
CREATE OR REPLACE FUNCTION "public"."omnibus_1_claim"(
  of_member bigint, of_session int, of_grp int, known bigint, self text, streams int[], patterns text[], turn int, most int, most_bytes bigint,
  paused_streams int[], paused_parts smallint[]
) RETURNS TABLE (o_kind int, o_id bigint, o_stream int, o_partition smallint, o_seq bigint, o_last bigint, o_deliveries int,
  o_attempts int, o_notes text, o_avoid text, o_topic text, o_key text, o_headers text, o_body bytea
) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $claim$
#variable_conflict use_column
DECLARE
  now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint; v bigint; g_roster bigint; h record; c record; r record; row_ record; lost bigint := 0; expired bigint := 0;
  ps int[]; pp smallint[]; starts bigint[]; n int; i int; at_ int; claimed_ bigint; was bigint; bits bytea; width int; split bigint;
  more boolean := false; due_ bigint; new_id bigint;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  PERFORM pg_advisory_xact_lock_shared((8090734967539105792)::bigint + ((of_grp % 65536)::bigint << 12));
  SELECT version, roster INTO v, g_roster FROM "public"."omnibus_grp" WHERE id = of_grp;
  IF NOT FOUND THEN RETURN; END IF;
  SELECT session INTO i FROM "public"."omnibus_member" WHERE id = of_member;
  IF NOT FOUND THEN o_kind := 9; RETURN NEXT; RETURN; END IF;
  IF i <> of_session THEN o_kind := 8; RETURN NEXT; RETURN; END IF;
  o_kind := 0; o_id := v; o_seq := g_roster; RETURN NEXT;
  FOR row_ IN
    WITH l AS (SELECT stream, partition, lost FROM "public"."omnibus_place" WHERE grp = of_grp AND lost > 0 FOR UPDATE SKIP LOCKED)
    UPDATE "public"."omnibus_place" p SET lost = 0 FROM l WHERE p.grp = of_grp AND p.stream = l.stream AND p.partition = l.partition RETURNING l.lost AS lost
  LOOP lost := lost + row_.lost; END LOOP;

  IF v = known AND most > 0 THEN
    FOR h IN SELECT * FROM "public"."omnibus_held" WHERE grp = of_grp AND member IS NULL AND due <= now_ms
        AND (CASE WHEN avoid IS NOT NULL AND strpos(avoid, self) > 0 AND not_before IS NOT NULL
                  THEN greatest(due + 10000, not_before) ELSE due END) <= now_ms
      ORDER BY due LIMIT most FOR UPDATE SKIP LOCKED
    LOOP
      SELECT l.topic, l.key, l.headers, l.body INTO row_ FROM "public"."omnibus_log" l JOIN "public"."omnibus_part" p ON p.stream = l.stream AND p.partition = l.partition
        WHERE l.stream = h.stream AND l.partition = h.partition AND l.seq = h.seq AND l.seq >= p.first;
      IF NOT FOUND THEN
        DELETE FROM "public"."omnibus_held" WHERE grp = of_grp AND stream = h.stream AND partition = h.partition AND seq = h.seq;
        lost := lost + 1;
        CONTINUE;
      END IF;
      UPDATE "public"."omnibus_held" SET member = of_member, deliveries = deliveries + 1
        WHERE grp = of_grp AND stream = h.stream AND partition = h.partition AND seq = h.seq;
      RETURN QUERY SELECT 3, NULL::bigint, h.stream, h.partition, h.seq, CASE WHEN h.avoid IS NULL THEN h.not_before END,
        h.deliveries + 1, h.attempts, h.headers, h.avoid, row_.topic, row_.key, row_.headers, row_.body;
      most := most - 1; most_bytes := most_bytes - octet_length(row_.body);
      EXIT WHEN most <= 0 OR most_bytes <= 0;
    END LOOP;

    FOR c IN SELECT * FROM "public"."omnibus_claim" WHERE grp = of_grp AND member IS NULL ORDER BY stream, partition, first LIMIT 64 FOR UPDATE SKIP LOCKED
    LOOP
      IF most <= 0 OR most_bytes <= 0 THEN more := true; EXIT; END IF;
      SELECT count(*) AS many, max(seq) AS last_seq, coalesce(max(so_far), 0) AS bytes INTO r
        FROM (SELECT l.seq, octet_length(l.body) AS size, sum(octet_length(l.body)) OVER (ORDER BY l.seq) AS so_far
                FROM "public"."omnibus_log" l JOIN "public"."omnibus_part" p ON p.stream = l.stream AND p.partition = l.partition
                WHERE l.stream = c.stream AND l.partition = c.partition AND l.seq >= c.low AND l.seq <= c.last AND l.seq >= p.first
                  AND get_bit(c.done, (l.seq - c.first)::int) = 0
                ORDER BY l.seq LIMIT most) s
        WHERE so_far - size < most_bytes;
      bits := c.done;
      IF r.many < most AND r.bytes < most_bytes THEN
        split := c.last;
      ELSE
        -- what does not fit stays as it was; bits that are no message's are set, so that the others can be counted
        split := r.last_seq;
        more := true;
        FOR k IN 0 .. (split - c.first)::int LOOP bits := set_bit(bits, k, 1); END LOOP;
        IF bit_count(bits) < octet_length(bits) * 8 THEN
          INSERT INTO "public"."omnibus_claim" (grp, stream, partition, first, last, low, done, deliveries, member)
            VALUES (of_grp, c.stream, c.partition, c.first, c.last, split + 1, bits, c.deliveries, NULL);
        END IF;
        bits := substring(c.done FOR ((split - c.first) / 8 + 1)::int);
        FOR k IN (split - c.first + 1)::int .. octet_length(bits) * 8 - 1 LOOP bits := set_bit(bits, k, 1); END LOOP;
      END IF;
      UPDATE "public"."omnibus_claim" SET member = of_member, deliveries = c.deliveries + 1, last = split, done = bits WHERE id = c.id;
      RETURN QUERY SELECT 1, c.id, c.stream, c.partition, c.first, split, c.deliveries + 1, 0, NULL, NULL, NULL, NULL, NULL, bits;
      RETURN QUERY SELECT 2, c.id, c.stream, c.partition, l.seq, NULL::bigint, c.deliveries + 1, 0, NULL, NULL, l.topic, l.key, l.headers, l.body
        FROM "public"."omnibus_log" l JOIN "public"."omnibus_part" p ON p.stream = l.stream AND p.partition = l.partition
        WHERE l.stream = c.stream AND l.partition = c.partition AND l.seq >= c.low AND l.seq <= split AND l.seq >= p.first
          AND get_bit(bits, (l.seq - c.first)::int) = 0
        ORDER BY l.seq;
      most := most - r.many; most_bytes := most_bytes - r.bytes;
    END LOOP;

    SELECT array_agg(q.stream), array_agg(q.partition), array_agg(q.start) INTO ps, pp, starts
      FROM (SELECT p.stream, p.partition, p.start,
                   (SELECT l.seq FROM "public"."omnibus_log" l WHERE l.stream = p.stream AND l.partition = p.partition ORDER BY l.seq DESC LIMIT 1) AS newest,
                   (SELECT c.seq FROM "public"."omnibus_claimed" c WHERE c.grp = of_grp AND c.stream = p.stream AND c.partition = p.partition ORDER BY c.seq DESC LIMIT 1) AS was
              FROM "public"."omnibus_place" p WHERE p.grp = of_grp ORDER BY p.stream, p.partition) q
      WHERE q.newest > coalesce(q.was, q.start);
    n := coalesce(cardinality(ps), 0);
    FOR step IN 0 .. n - 1 LOOP
      IF most <= 0 OR most_bytes <= 0 THEN more := true; EXIT; END IF;
      i := (turn + step) % n + 1;
      at_ := array_position(streams, ps[i]);
      CONTINUE WHEN at_ IS NULL;
      CONTINUE WHEN EXISTS (SELECT FROM unnest(paused_streams, paused_parts) AS u(s, p) WHERE u.s = ps[i] AND u.p = pp[i]);
      IF NOT pg_try_advisory_xact_lock((8090734967270670336)::bigint + ((of_grp % 65536)::bigint << 12) + (ps[i] * 61 + pp[i]) % 4096) THEN more := true; CONTINUE; END IF;
      SELECT seq INTO was FROM "public"."omnibus_claimed" WHERE grp = of_grp AND stream = ps[i] AND partition = pp[i] ORDER BY seq DESC LIMIT 1;
      claimed_ := coalesce(was, starts[i]);
      SELECT * INTO r FROM "public"."omnibus_1_read"(ps[i], pp[i], claimed_, 4096, most, most_bytes, patterns[at_]);
      expired := expired + r.expired;
      more := more OR r.reached < r.newest;
      IF r.reached > claimed_ THEN
        INSERT INTO "public"."omnibus_claimed" (grp, stream, partition, seq) VALUES (of_grp, ps[i], pp[i], r.reached);
        DELETE FROM "public"."omnibus_claimed" WHERE grp = of_grp AND stream = ps[i] AND partition = pp[i] AND seq = was;
      END IF;
      CONTINUE WHEN r.seqs IS NULL;
      width := (r.seqs[cardinality(r.seqs)] - r.seqs[1])::int + 1;
      IF cardinality(r.seqs) = width THEN
        bits := decode(repeat('00', (width + 7) / 8), 'hex');
        FOR k IN width .. (width + 7) / 8 * 8 - 1 LOOP bits := set_bit(bits, k, 1); END LOOP;
      ELSE
        bits := decode(repeat('ff', (width + 7) / 8), 'hex');
        FOR k IN 1 .. cardinality(r.seqs) LOOP bits := set_bit(bits, (r.seqs[k] - r.seqs[1])::int, 0); END LOOP;
      END IF;
      INSERT INTO "public"."omnibus_claim" (grp, stream, partition, first, last, low, done, deliveries, member)
        VALUES (of_grp, ps[i], pp[i], r.seqs[1], r.seqs[cardinality(r.seqs)], r.seqs[1], bits, 1, of_member) RETURNING id INTO new_id;
      RETURN QUERY SELECT 1, new_id, ps[i], pp[i], r.seqs[1], r.seqs[cardinality(r.seqs)], 1, 0, NULL, NULL, NULL, NULL, NULL, bits;
      RETURN QUERY SELECT 2, new_id, ps[i], pp[i], l.seq, NULL::bigint, 1, 0, NULL, NULL, l.topic, l.key, l.headers, l.body
        FROM "public"."omnibus_log" l WHERE l.stream = ps[i] AND l.partition = pp[i] AND l.seq >= r.seqs[1] AND l.seq <= r.seqs[cardinality(r.seqs)]
          AND (cardinality(r.seqs) = width OR get_bit(bits, (l.seq - r.seqs[1])::int) = 0)
        ORDER BY l.seq;
      most := most - cardinality(r.seqs); most_bytes := most_bytes - r.bytes;
    END LOOP;
  END IF;

  o_id := NULL; o_stream := NULL; o_partition := NULL;
  IF lost > 0 THEN o_kind := 4; o_seq := lost; o_attempts := 0; RETURN NEXT; END IF;
  IF expired > 0 THEN o_kind := 4; o_seq := expired; o_attempts := 1; RETURN NEXT; END IF;
  SELECT due INTO due_ FROM "public"."omnibus_held" WHERE grp = of_grp AND member IS NULL AND avoid IS NULL ORDER BY due LIMIT 1;
  -- those that were released are few
  SELECT least(due_, min(CASE WHEN strpos(avoid, self) > 0 AND not_before IS NOT NULL
                              THEN greatest(due + 10000, not_before) ELSE due END)) INTO due_
    FROM "public"."omnibus_held" WHERE grp = of_grp AND member IS NULL AND avoid IS NOT NULL;
  IF due_ IS NOT NULL THEN o_kind := 5; o_seq := greatest(0, due_ - now_ms); RETURN NEXT; END IF;
  IF more THEN o_kind := 6; RETURN NEXT; END IF;
END $claim$;
CREATE OR REPLACE FUNCTION "public"."omnibus_1_own_turn"(
  of_member bigint, of_session int, of_grp int, known bigint, lasting boolean, streams int[], parts smallint[], ns bigint[], cursors bigint[], dones bytea[],
  outs bigint[], dirty boolean[], afters bigint[], mosts int[], patterns text[], most int, most_bytes bigint,
  over_parts int[], over_seqs bigint[], entries text, bodies bytea[]
) RETURNS TABLE (o_kind int, o_index int, o_seq bigint, o_last bigint, o_count int, o_topic text, o_key text, o_headers text, o_body bytea
) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $own_turn$
#variable_conflict use_column
DECLARE
  now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint; v bigint; s int; r record; e jsonb; n int := 0; i int; g_roster bigint; pattern_ text; exact text[];
  kept boolean[]; newests bigint[]; tos bigint[]; reacheds bigint[]; outs_ bigint[] := outs; expireds int[]; counts int[];
  reads boolean; there boolean; spans bigint; size bigint; many bigint; room int;
BEGIN
  IF NOT lasting THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
  PERFORM pg_advisory_xact_lock_shared((8090734967539105792)::bigint + ((of_grp % 65536)::bigint << 12));
  SELECT g.version, g.roster, m.session INTO v, g_roster, s FROM "public"."omnibus_grp" g LEFT JOIN "public"."omnibus_member" m ON m.id = of_member WHERE g.id = of_grp;
  IF NOT FOUND THEN RETURN; END IF;
  IF s IS NULL THEN o_kind := 9; RETURN NEXT; RETURN; END IF;
  IF s <> of_session THEN o_kind := 8; RETURN NEXT; RETURN; END IF;
  o_kind := 0; o_seq := v; o_last := g_roster; RETURN NEXT;
  reads := v = known AND most > 0 AND most_bytes > 0;
  -- all partitions in one statement, in their order, since most have nothing new; `tos`: how far each may be read. OFFSET: or each mention of a column would look it up again
  SELECT array_agg(y.kept), array_agg(y.newest), array_agg(y.a + least(y.span, greatest(0, most - y.before))), sum(least(y.span, greatest(0, most - y.before)))
    INTO kept, newests, tos, spans
    FROM (SELECT x.*, sum(x.span) OVER (ROWS UNBOUNDED PRECEDING) - x.span AS before
            FROM (SELECT w.*, CASE WHEN w.kept AND reads THEN greatest(0, least(coalesce(w.newest - w.a, 0), w.m)) ELSE 0 END AS span
                    FROM (SELECT u.a, u.m, coalesce((SELECT p.member = of_member AND p.epoch = u.n >> 32 FROM "public"."omnibus_place" p
                                   WHERE p.grp = of_grp AND p.stream = u.s AND p.partition = u.p), false) AS kept,
                                 CASE WHEN u.a IS NOT NULL THEN
                                   (SELECT l.seq FROM "public"."omnibus_log" l WHERE l.stream = u.s AND l.partition = u.p ORDER BY l.seq DESC LIMIT 1) END AS newest
                            FROM unnest(streams, parts, ns, afters, mosts) AS u(s, p, n, a, m) OFFSET 0) w OFFSET 0) x OFFSET 0) y;
  reacheds := afters;
  expireds := array_fill(0, ARRAY[coalesce(cardinality(parts), 0)]);
  IF spans > 0 THEN
    -- mostly all of it is wanted, and less than there is room for: then nothing has to be counted
    SELECT sum(x.upper - x.lower), bool_and(x.upper IS NOT NULL AND x.lower IS NOT NULL) INTO size, there
      FROM (SELECT (SELECT l.total FROM "public"."omnibus_log" l WHERE l.stream = u.s AND l.partition = u.p AND l.seq = u.t) AS upper,
                   -- none where retention has passed it: the newest one that it drops stays in the log
                   (SELECT l.total - octet_length(l.body) FROM "public"."omnibus_log" l WHERE l.stream = u.s AND l.partition = u.p AND l.seq = u.a + 1
                      AND NOT EXISTS (SELECT FROM "public"."omnibus_part" t WHERE t.stream = u.s AND t.partition = u.p AND t.first > u.a + 1)) AS lower
              FROM unnest(streams, parts, afters, tos) AS u(s, p, a, t) WHERE u.t > u.a OFFSET 0) x;
    IF there AND size <= most_bytes THEN
      -- usually that of all
      IF spans > 16 THEN SELECT max(u), CASE WHEN max(u) ~ '^\^\(\?:(\w|\||\\[^\w|])+\)\$$'
    THEN string_to_array(regexp_replace(substr(max(u), 5, length(max(u)) - 6), '\\(.)', '\1', 'g'), '|') END INTO pattern_, exact FROM unnest(patterns) AS u; END IF;
      RETURN QUERY SELECT 2, (u.i - 1)::int, l.seq, NULL::bigint, 0, l.topic, l.key, l.headers, l.body
        FROM unnest(streams, parts, afters, tos, patterns) WITH ORDINALITY AS u(s, p, a, t, pattern, i),
          LATERAL (SELECT m.* FROM "public"."omnibus_log" m WHERE m.stream = u.s AND m.partition = u.p AND m.seq > u.a AND m.seq <= u.t
                     AND (u.pattern IS NULL OR CASE WHEN exact IS NOT NULL AND u.pattern = pattern_ THEN m.topic = ANY (exact) ELSE m.topic ~ u.pattern END)
                     AND (m.expires IS NULL OR m.expires > now_ms) ORDER BY m.seq) l
        WHERE u.t > u.a;
      GET DIAGNOSTICS many = ROW_COUNT;
      IF many = spans THEN
        outs_ := ARRAY(SELECT CASE WHEN u.t > u.a THEN greatest(u.o, u.t) ELSE u.o END FROM unnest(outs, afters, tos) AS u(o, a, t));
      ELSE
        SELECT array_agg(greatest(u.o, l.last)), array_agg(l.over), array_agg(l.count) INTO outs_, expireds, counts
          FROM unnest(streams, parts, afters, tos, patterns, outs) AS u(s, p, a, t, pattern, o),
            LATERAL (SELECT max(m.seq) FILTER (WHERE m.expires IS NULL OR m.expires > now_ms) AS last, (count(*) FILTER (WHERE m.expires <= now_ms))::int AS over,
                            (count(*) FILTER (WHERE m.expires IS NULL OR m.expires > now_ms))::int AS count
                       FROM "public"."omnibus_log" m WHERE m.stream = u.s AND m.partition = u.p AND m.seq > u.a AND m.seq <= u.t
                         AND (u.pattern IS NULL OR m.topic ~ u.pattern)) l;
      END IF;
      most := most - many; most_bytes := most_bytes - CASE WHEN many > 0 THEN size ELSE 0 END;
      reacheds := ARRAY(SELECT greatest(u.a, u.t) FROM unnest(afters, tos) AS u(a, t));
    ELSE
      tos := afters;
    END IF;
  END IF;
  -- not so, or with room left for what comes behind what nobody wants
  FOR i IN 1 .. coalesce(cardinality(parts), 0) LOOP
    EXIT WHEN NOT reads OR most <= 0 OR most_bytes <= 0;
    CONTINUE WHEN NOT kept[i] OR afters[i] IS NULL OR newests[i] <= reacheds[i];
    room := least(most, mosts[i] - coalesce(counts[i], tos[i] - afters[i]));
    CONTINUE WHEN newests[i] IS NOT NULL AND room <= 0;
    SELECT * INTO r FROM "public"."omnibus_1_read"(streams[i], parts[i], reacheds[i], 4096, room, most_bytes, patterns[i]);
    IF r.seqs IS NOT NULL THEN
      outs_[i] := greatest(outs_[i], r.seqs[cardinality(r.seqs)]);
      most := most - cardinality(r.seqs); most_bytes := most_bytes - r.bytes;
      RETURN QUERY SELECT 2, i - 1, l.seq, NULL::bigint, 0, l.topic, l.key, l.headers, l.body
        FROM "public"."omnibus_log" l WHERE l.stream = streams[i] AND l.partition = parts[i] AND l.seq >= r.seqs[1] AND l.seq <= r.seqs[cardinality(r.seqs)]
          AND (cardinality(r.seqs) = r.seqs[cardinality(r.seqs)] - r.seqs[1] + 1 OR l.seq = ANY (r.seqs))
        ORDER BY l.seq;
    END IF;
    reacheds[i] := r.reached; newests[i] := r.newest;
    expireds[i] := coalesce(expireds[i], 0) + r.expired;
  END LOOP;
  RETURN QUERY SELECT CASE WHEN u.k THEN 3 ELSE 1 END, (u.i - 1)::int, u.r, u.newest, coalesce(u.over, 0), NULL, NULL, NULL, NULL::bytea
    FROM unnest(kept, reacheds, newests, expireds) WITH ORDINALITY AS u(k, r, newest, over, i)
    WHERE NOT u.k OR (reads AND u.r IS NOT NULL AND u.newest IS NOT NULL);
  WITH written AS (
    INSERT INTO "public"."omnibus_progress" AS g (grp, stream, partition, n, cursor, out, done)
      SELECT of_grp, u.s, u.p, u.n, u.c, u.o, u.d FROM unnest(streams, parts, ns, cursors, outs_, dones, kept, dirty, outs) AS u(s, p, n, c, o, d, k, w, before)
        WHERE u.k AND (u.w OR u.o > u.before)
      ON CONFLICT (grp, stream, partition, n) DO UPDATE SET cursor = excluded.cursor, out = excluded.out, done = excluded.done
      RETURNING g.stream, g.partition, g.n)
    DELETE FROM "public"."omnibus_progress" g USING written w
      WHERE w.n % 4 = 0 AND g.grp = of_grp AND g.stream = w.stream AND g.partition = w.partition AND g.n < w.n AND g.n >= w.n - 8;
  FOR i IN 1 .. coalesce(cardinality(over_parts), 0) LOOP
    IF kept[over_parts[i]] THEN
      DELETE FROM "public"."omnibus_held" WHERE grp = of_grp AND stream = streams[over_parts[i]] AND partition = parts[over_parts[i]] AND seq = over_seqs[i];
    END IF;
  END LOOP;
  IF entries IS NULL THEN RETURN; END IF;
  FOR e IN SELECT * FROM jsonb_array_elements(entries::jsonb) LOOP
    n := n + 1;
    i := (e->>'part')::int;
    CONTINUE WHEN kept[i] IS NOT TRUE;
    IF e->>'how' = 'dead' THEN
      INSERT INTO "public"."omnibus_letter" (id, address, grp, topic, key, headers, body, stored_at, not_before)
        VALUES ((e->'letter')->>'id', (e->'letter')->>'address', (e->'letter')->>'group', (e->'letter')->>'topic', (e->'letter')->>'key', (e->'letter')->>'headers', bodies[n],
          ((e->'letter')->>'storedAt')::bigint, ((e->'letter')->>'notBefore')::bigint)
        ON CONFLICT (id) DO UPDATE SET address = excluded.address, grp = excluded.grp, topic = excluded.topic, key = excluded.key,
          headers = excluded.headers, body = excluded.body, stored_at = excluded.stored_at, not_before = excluded.not_before,
          token = NULL, claimed_until = 0;
    ELSE
      INSERT INTO "public"."omnibus_held" (grp, stream, partition, seq, member, due, attempts, not_before, deliveries, headers, avoid)
        VALUES (of_grp, streams[i], parts[i], (e->>'seq')::bigint, NULL, 9223372036854775807, (e->>'attempts')::int, (e->>'notBefore')::bigint,
          (e->>'deliveries')::int, e->>'headers', NULL)
        ON CONFLICT (grp, stream, partition, seq) DO UPDATE SET attempts = excluded.attempts, not_before = excluded.not_before,
          deliveries = excluded.deliveries, headers = excluded.headers;
    END IF;
  END LOOP;
END $own_turn$;
DROP TABLE IF EXISTS "public"."omnibus_parked";
      UPDATE "public"."omnibus_meta" SET value = '3' WHERE key = 'layout';
    END IF;
    IF (SELECT value = '3' FROM "public"."omnibus_meta" WHERE key = 'layout') THEN
CREATE OR REPLACE FUNCTION "public"."omnibus_1_tidy"() RETURNS void LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $tidy$
DECLARE now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint; gone int[];
BEGIN
  DELETE FROM "public"."omnibus_state" WHERE expires <= now_ms AND (bucket, key) IN (
    SELECT s.bucket, s.key FROM "public"."omnibus_state" s WHERE s.expires <= now_ms ORDER BY s.expires LIMIT 20000);
  DELETE FROM "public"."omnibus_letter_gone" WHERE at < now_ms - 3600000;
  -- of streams whose rows somebody deleted by hand
  gone := ARRAY(SELECT DISTINCT stream FROM "public"."omnibus_part" WHERE stream NOT IN (SELECT id FROM "public"."omnibus_stream"));
  IF cardinality(gone) > 0 THEN
    DELETE FROM "public"."omnibus_place" WHERE stream = ANY (gone);
    DELETE FROM "public"."omnibus_progress" WHERE stream = ANY (gone);
    DELETE FROM "public"."omnibus_claimed" WHERE stream = ANY (gone);
    DELETE FROM "public"."omnibus_claim" WHERE stream = ANY (gone);
    DELETE FROM "public"."omnibus_held" WHERE stream = ANY (gone);
    DELETE FROM "public"."omnibus_delayed" WHERE stream = ANY (gone);
    DELETE FROM "public"."omnibus_part" WHERE stream = ANY (gone);
  END IF;
  DELETE FROM "public"."omnibus_direct" WHERE expires <= now_ms OR consumer NOT IN (SELECT id FROM "public"."omnibus_listener");
END $tidy$;
CREATE OR REPLACE FUNCTION "public"."omnibus_1_hear"(of_id bigint, of_process bigint, of_grp text, of_address text, new_patterns text, new_answers text, by_news boolean)
RETURNS bigint LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $hear$
DECLARE given bigint := of_id;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  IF of_id IS NULL THEN
    INSERT INTO "public"."omnibus_listener" (process, grp, address, patterns, answers, hears)
      VALUES (of_process, of_grp, of_address, new_patterns, new_answers, by_news)
      ON CONFLICT (address) DO UPDATE SET process = excluded.process, hears = excluded.hears RETURNING id INTO given;
  ELSE
    UPDATE "public"."omnibus_listener" SET patterns = new_patterns, answers = new_answers, hears = by_news WHERE id = of_id;
    IF NOT FOUND THEN RETURN NULL; END IF;
  END IF;
  UPDATE "public"."omnibus_meta" SET value = (value::bigint + 1)::text WHERE key = 'direct';
  RETURN given;
END $hear$;
CREATE OR REPLACE FUNCTION "public"."omnibus_1_move_due"(most int) RETURNS TABLE (o_moved int, o_next bigint, o_streams int[]) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $move_due$
#variable_conflict use_column
DECLARE now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint; ids bigint[]; full_ int[] := '{}'; before_ int; locked_ boolean := false; s record; d record; last_ record; held_m bigint; held_b bigint; waits bigint;
BEGIN
  o_moved := 0; o_streams := '{}';
  IF NOT pg_try_advisory_xact_lock((8090734968344412160)) THEN -- one at a time, or what one passes by would come behind what another took
    o_next := 50;
    RETURN NEXT;
    RETURN;
  END IF;
  LOOP -- what waits for a full stream is not in the way of others'; looked at without locks first, which are taken in order and once
    ids := ARRAY(SELECT id FROM "public"."omnibus_delayed" WHERE due <= now_ms AND stream <> ALL (full_) ORDER BY due, id LIMIT most FOR UPDATE SKIP LOCKED);
    IF locked_ THEN
      FOR s IN SELECT DISTINCT x.stream, x.partition FROM "public"."omnibus_delayed" x WHERE x.id = ANY (ids) ORDER BY x.stream, x.partition LOOP
        PERFORM pg_advisory_xact_lock((8090734967002234880)::bigint + ((s.stream % 65536)::bigint << 12) + s.partition);
      END LOOP;
    END IF;
    before_ := cardinality(full_);
    FOR s IN SELECT t.id, t.max_bytes, t.max_messages FROM "public"."omnibus_stream" t WHERE NOT t.gone AND t.when_full = 'reject' AND NOT t.queue
        AND t.id IN (SELECT x.stream FROM "public"."omnibus_delayed" x WHERE x.id = ANY (ids)) LOOP
      SELECT sum(coalesce(l.seq, p.first - 1) - p.first + 1), sum(coalesce(l.total, p.cut) - p.cut) INTO held_m, held_b
        FROM "public"."omnibus_part" p LEFT JOIN LATERAL (
          SELECT seq, total FROM "public"."omnibus_log" WHERE stream = p.stream AND partition = p.partition ORDER BY seq DESC LIMIT 1) l ON true
        WHERE p.stream = s.id;
      IF held_m >= s.max_messages OR held_b >= s.max_bytes THEN full_ := full_ || s.id; END IF;
    END LOOP;
    EXIT WHEN locked_;
    locked_ := cardinality(full_) = before_;
  END LOOP;
  FOR d IN SELECT x.* FROM "public"."omnibus_delayed" x WHERE x.id = ANY (ids) AND x.stream <> ALL (full_) ORDER BY x.due, x.id LOOP
    SELECT l.seq, l.total, l.at INTO last_ FROM "public"."omnibus_log" l WHERE l.stream = d.stream AND l.partition = d.partition ORDER BY l.seq DESC LIMIT 1;
    IF NOT FOUND THEN
      SELECT p.first - 1 AS seq, p.cut AS total, 0::bigint AS at INTO last_ FROM "public"."omnibus_part" p WHERE p.stream = d.stream AND p.partition = d.partition;
      IF FOUND THEN
      SELECT greatest(last_.seq, max(x.seq)) INTO last_.seq FROM (
        SELECT max(c.seq) FROM "public"."omnibus_claimed" c WHERE c.stream = d.stream AND c.partition = d.partition
        UNION ALL SELECT max(p.cursor) FROM "public"."omnibus_place" p WHERE p.stream = d.stream AND p.partition = d.partition
        UNION ALL SELECT max(greatest(g.cursor, g.out)) FROM "public"."omnibus_progress" g WHERE g.stream = d.stream AND g.partition = d.partition) AS x(seq);
      UPDATE "public"."omnibus_part" SET first = last_.seq + 1 WHERE stream = d.stream AND partition = d.partition AND first <= last_.seq;
      END IF;
    END IF;
    IF last_.seq IS NOT NULL THEN
      INSERT INTO "public"."omnibus_log" (stream, partition, seq, at, total, expires, broker, topic, key, headers, body)
        VALUES (d.stream, d.partition, last_.seq + 1, greatest(last_.at, now_ms), last_.total + octet_length(d.body), d.expires,
          CASE WHEN EXISTS (SELECT FROM "public"."omnibus_log" o WHERE o.stream = d.stream AND o.broker = d.broker) THEN NULL ELSE d.broker END,
          d.topic, d.key, d.headers, d.body);
    END IF;
    DELETE FROM "public"."omnibus_delayed" WHERE id = d.id;
    o_moved := o_moved + 1;
    IF d.stream <> ALL (o_streams) THEN o_streams := o_streams || d.stream; END IF;
  END LOOP;
  SELECT min(x.due) INTO waits FROM "public"."omnibus_delayed" x WHERE x.stream <> ALL (full_) AND x.due < 4611686018427387904;
  o_next := CASE WHEN waits IS NOT NULL THEN greatest(0, waits - now_ms) END; -- of nothing and 0 it would be 0
  IF cardinality(full_) > 0 THEN o_next := least(coalesce(o_next, 1000), 1000); END IF;
  RETURN NEXT;
END $move_due$;
      UPDATE "public"."omnibus_meta" SET value = '4' WHERE key = 'layout';
    END IF;
    RETURN;
  END IF;
CREATE TABLE "public"."omnibus_meta" (key text COLLATE "C" PRIMARY KEY, value text NOT NULL);
CREATE TABLE "public"."omnibus_stream" (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL, queue boolean NOT NULL,
    topics text NOT NULL, partitions int NOT NULL, max_age bigint NOT NULL, max_bytes bigint NOT NULL, max_messages bigint,
    when_full text NOT NULL, idle_group bigint NOT NULL, gone boolean NOT NULL DEFAULT false, UNIQUE (queue, name));
CREATE TABLE "public"."omnibus_part" (
    stream int, partition smallint, first bigint NOT NULL DEFAULT 1, cut bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (stream, partition)) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE "public"."omnibus_log" (
    stream int, partition smallint, seq bigint, at bigint NOT NULL, total bigint NOT NULL,
  expires bigint, broker bytea, topic text COLLATE "C" NOT NULL, key text COLLATE "C", headers text, body bytea NOT NULL,
    PRIMARY KEY (stream, partition, seq), CONSTRAINT "omnibus_log_once" UNIQUE (stream, broker));
CREATE TABLE "public"."omnibus_delayed" (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, due bigint NOT NULL, stream int NOT NULL, partition smallint NOT NULL,
    event text COLLATE "C",
  expires bigint, broker bytea, topic text COLLATE "C" NOT NULL, key text COLLATE "C", headers text, body bytea NOT NULL, CONSTRAINT "omnibus_delayed_once" UNIQUE (stream, broker)) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE "public"."omnibus_grp" (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text COLLATE "C" NOT NULL UNIQUE, reads text NOT NULL,
    origin text NOT NULL, keeps text NOT NULL, live boolean NOT NULL, version bigint NOT NULL DEFAULT 1,
    roster bigint NOT NULL DEFAULT 0, idle_since bigint NOT NULL) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE "public"."omnibus_process" (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, member text NOT NULL, name text NOT NULL, host text NOT NULL,
    pid int NOT NULL, since bigint NOT NULL, seen bigint NOT NULL, until bigint NOT NULL) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE "public"."omnibus_member" (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, grp int NOT NULL, process bigint NOT NULL, version bigint NOT NULL,
    session int NOT NULL DEFAULT 0) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE "public"."omnibus_place" (
    grp int, stream int, partition smallint, start bigint NOT NULL, cursor bigint NOT NULL, done bytea, outs bigint[],
    member bigint, epoch bigint NOT NULL DEFAULT 0, lost bigint NOT NULL DEFAULT 0, PRIMARY KEY (grp, stream, partition)) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE "public"."omnibus_progress" (
    grp int, stream int, partition smallint, n bigint, cursor bigint NOT NULL, out bigint NOT NULL,
    done bytea, PRIMARY KEY (grp, stream, partition, n)) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE "public"."omnibus_claimed" (
    grp int, stream int, partition smallint, seq bigint, PRIMARY KEY (grp, stream, partition, seq)) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE "public"."omnibus_claim" (
    id bigint PRIMARY KEY DEFAULT (random() * 9007199254740991)::bigint, grp int NOT NULL, stream int NOT NULL, partition smallint NOT NULL,
    first bigint NOT NULL, last bigint NOT NULL, low bigint NOT NULL, done bytea NOT NULL, deliveries int NOT NULL,
    member bigint) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE "public"."omnibus_held" (
    grp int, stream int, partition smallint, seq bigint, member bigint, due bigint NOT NULL, attempts int NOT NULL,
    not_before bigint, deliveries int NOT NULL, headers text, avoid text, PRIMARY KEY (grp, stream, partition, seq)) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE "public"."omnibus_letter" (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL, address text NOT NULL, grp text COLLATE "C", topic text COLLATE "C" NOT NULL,
  key text COLLATE "C", headers text NOT NULL, body bytea NOT NULL, stored_at bigint NOT NULL, not_before bigint, token text, claimed_until bigint NOT NULL DEFAULT 0,
    UNIQUE (id));
CREATE TABLE "public"."omnibus_letter_gone" (id text COLLATE "C" PRIMARY KEY, n bigint NOT NULL, at bigint NOT NULL);
CREATE TABLE "public"."omnibus_state" (
    bucket text COLLATE "C", key text COLLATE "C", value bytea, revision bigint NOT NULL, expires bigint,
    PRIMARY KEY (bucket, key)) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE TABLE "public"."omnibus_schedule" (
    n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL, address text NOT NULL, grp text COLLATE "C", topic text COLLATE "C" NOT NULL,
  key text COLLATE "C", headers text NOT NULL, body bytea NOT NULL, stored_at bigint NOT NULL, not_before bigint, leased_until bigint NOT NULL DEFAULT 0, UNIQUE (id)) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE UNLOGGED TABLE "public"."omnibus_listener" (
    id bigint PRIMARY KEY DEFAULT (random() * 9007199254740991)::bigint, process bigint NOT NULL, grp text, address text UNIQUE,
    patterns text NOT NULL, answers text NOT NULL, hears boolean NOT NULL) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE UNLOGGED TABLE "public"."omnibus_direct" (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, consumer bigint NOT NULL, frame bytea NOT NULL, expires bigint) WITH (fillfactor = 60, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE "public"."omnibus_log" ALTER body SET STORAGE EXTERNAL;
ALTER TABLE "public"."omnibus_delayed" ALTER body SET STORAGE EXTERNAL;
ALTER TABLE "public"."omnibus_log" SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX "omnibus_delayed_due" ON "public"."omnibus_delayed" (due, id);
CREATE INDEX "omnibus_delayed_event" ON "public"."omnibus_delayed" (event);
CREATE INDEX "omnibus_member_grp" ON "public"."omnibus_member" (grp);
CREATE INDEX "omnibus_member_process" ON "public"."omnibus_member" (process);
CREATE INDEX "omnibus_place_member" ON "public"."omnibus_place" (member);
CREATE INDEX "omnibus_claim_run" ON "public"."omnibus_claim" (grp, stream, partition, first);
CREATE INDEX "omnibus_claim_free" ON "public"."omnibus_claim" (grp, stream, partition, first) WHERE member IS NULL;
CREATE INDEX "omnibus_claim_member" ON "public"."omnibus_claim" (member);
CREATE INDEX "omnibus_held_due" ON "public"."omnibus_held" (grp, due) WHERE member IS NULL;
CREATE INDEX "omnibus_held_released" ON "public"."omnibus_held" (grp) WHERE member IS NULL AND avoid IS NOT NULL;
CREATE INDEX "omnibus_held_member" ON "public"."omnibus_held" (member) WHERE member IS NOT NULL;
CREATE INDEX "omnibus_letter_grp" ON "public"."omnibus_letter" (grp, n);
CREATE INDEX "omnibus_state_revision" ON "public"."omnibus_state" (bucket, revision);
CREATE INDEX "omnibus_state_expires" ON "public"."omnibus_state" (expires) WHERE expires IS NOT NULL;
CREATE INDEX "omnibus_schedule_due" ON "public"."omnibus_schedule" ((coalesce(not_before, 0)), n);
CREATE INDEX "omnibus_direct_consumer" ON "public"."omnibus_direct" (consumer, id);
CREATE SEQUENCE "public"."omnibus_revision";
CREATE FUNCTION "public"."omnibus_1_append"(
  of_stream int, parts smallint[], places bigint[], topics text[], keys text[], all_headers text[],
  brokers bytea[], all_expires bigint[], bodies bytea[], checked boolean
) RETURNS bigint[] LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $append$
DECLARE
  seqs bigint[]; totals bigint[]; ats bigint[]; now_ms bigint; most_bytes bigint; most_messages bigint;
  held_messages bigint := -1; held_bytes bigint := -1; s bigint; t bigint; a bigint;
BEGIN
  FOR i IN 1 .. cardinality(parts) LOOP PERFORM pg_advisory_xact_lock((8090734967002234880)::bigint + ((of_stream % 65536)::bigint << 12) + parts[i]); END LOOP;
  SELECT max_bytes, max_messages INTO most_bytes, most_messages FROM "public"."omnibus_stream" WHERE id = of_stream AND NOT gone;
  IF NOT FOUND THEN RAISE EXCEPTION 'no such stream' USING ERRCODE = 'OM002'; END IF;
  now_ms := floor(extract(epoch FROM clock_timestamp()) * 1000);
  IF checked THEN
    SELECT sum(coalesce(l.seq, p.first - 1) - p.first + 1), sum(coalesce(l.total, p.cut) - p.cut)
      INTO held_messages, held_bytes
      FROM "public"."omnibus_part" p LEFT JOIN LATERAL (
        SELECT seq, total FROM "public"."omnibus_log" WHERE stream = of_stream AND partition = p.partition ORDER BY seq DESC LIMIT 1) l ON true
      WHERE p.stream = of_stream;
    held_messages := held_messages + cardinality(bodies);
    held_bytes := held_bytes + (SELECT sum(length(body)) FROM unnest(bodies) body);
    IF held_bytes > most_bytes OR held_messages > most_messages THEN
      RAISE EXCEPTION 'full' USING ERRCODE = 'OM001', DETAIL = format('%s %s',
        coalesce(most_messages - held_messages + cardinality(bodies), 2147483647),
        most_bytes - held_bytes + (SELECT sum(length(body)) FROM unnest(bodies) body));
    END IF;
  END IF;
  FOR i IN 1 .. cardinality(parts) LOOP
    SELECT seq, total, at INTO s, t, a FROM "public"."omnibus_log" WHERE stream = of_stream AND partition = parts[i] ORDER BY seq DESC LIMIT 1;
    IF NOT FOUND THEN
      SELECT first - 1, cut, 0 INTO STRICT s, t, a FROM "public"."omnibus_part" WHERE stream = of_stream AND partition = parts[i];
      SELECT greatest(s, max(x.seq)) INTO s FROM (
        SELECT max(c.seq) FROM "public"."omnibus_claimed" c WHERE c.stream = of_stream AND c.partition = parts[i]
        UNION ALL SELECT max(p.cursor) FROM "public"."omnibus_place" p WHERE p.stream = of_stream AND p.partition = parts[i]
        UNION ALL SELECT max(greatest(g.cursor, g.out)) FROM "public"."omnibus_progress" g WHERE g.stream = of_stream AND g.partition = parts[i]) AS x(seq);
      UPDATE "public"."omnibus_part" SET first = s + 1 WHERE stream = of_stream AND partition = parts[i] AND first <= s;
    END IF;
    seqs[i] := s; totals[i] := t; ats[i] := greatest(a, now_ms);
  END LOOP;
  INSERT INTO "public"."omnibus_log" (stream, partition, seq, at, total, expires, broker, topic, key, headers, body)
    SELECT of_stream, parts[(m.place >> 42)::int], seqs[(m.place >> 42)::int] + (m.place >> 32 & 1023), ats[(m.place >> 42)::int],
           totals[(m.place >> 42)::int] + (m.place & 4294967295), now_ms + m.expires, m.broker, m.topic, m.key, m.headers, m.body
      FROM unnest(places, topics, keys, all_headers, brokers, all_expires, bodies)
        AS m(place, topic, key, headers, broker, expires, body);
  RETURN seqs || held_messages || held_bytes;
END $append$;
CREATE FUNCTION "public"."omnibus_1_find"(of_stream int, brokers bytea[], window_ms bigint)
RETURNS TABLE (at_index int, at_partition smallint, at_seq bigint) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $find$
DECLARE old bigint := floor(extract(epoch FROM clock_timestamp()) * 1000) - window_ms;
BEGIN
  UPDATE "public"."omnibus_log" SET broker = NULL WHERE stream = of_stream AND broker = ANY (brokers) AND at <= old;
  DELETE FROM "public"."omnibus_delayed" WHERE stream = of_stream AND broker = ANY (brokers) AND due BETWEEN 4611686018427387904 AND 4611686018427387904 + old;
  RETURN QUERY SELECT b.i::int, l.partition, l.seq FROM unnest(brokers) WITH ORDINALITY b(id, i)
    JOIN "public"."omnibus_log" l ON l.stream = of_stream AND l.broker = b.id
    UNION ALL SELECT b.i::int, NULL, NULL FROM unnest(brokers) WITH ORDINALITY b(id, i)
    JOIN "public"."omnibus_delayed" d ON d.stream = of_stream AND d.broker = b.id;
END $find$;
CREATE FUNCTION "public"."omnibus_1_read"(
  of_stream int, of_partition smallint, after bigint, scan int, most int, most_bytes bigint, pattern text,
  OUT seqs bigint[], OUT reached bigint, OUT newest bigint, OUT expired int, OUT missed bigint, OUT bytes bigint
) LANGUAGE plpgsql VOLATILE AS $read$
DECLARE exact text[]; upper bigint; to_ bigint; size bigint; looked int; last_looked bigint; oldest bigint; now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint;
BEGIN
  expired := 0; bytes := 0; reached := after; missed := 0;
  SELECT p.first INTO oldest FROM "public"."omnibus_part" p WHERE p.stream = of_stream AND p.partition = of_partition;
  SELECT l.seq INTO newest FROM "public"."omnibus_log" l WHERE l.stream = of_stream AND l.partition = of_partition ORDER BY l.seq DESC LIMIT 1;
  newest := coalesce(newest, oldest - 1, 0);
  IF after < oldest - 1 THEN missed := oldest - 1 - after; reached := oldest - 1; END IF;
  IF newest <= reached OR most <= 0 OR most_bytes <= 0 THEN RETURN; END IF;
  IF newest - reached > 16 THEN exact := CASE WHEN pattern ~ '^\^\(\?:(\w|\||\\[^\w|])+\)\$$'
    THEN string_to_array(regexp_replace(substr(pattern, 5, length(pattern) - 6), '\\(.)', '\1', 'g'), '|') END; END IF;
  -- mostly all of what comes next is wanted, and less than there is room for: then its bytes need no counting
  to_ := least(newest, reached + least(scan, most));
  SELECT u.total - l.total + octet_length(l.body) INTO size FROM "public"."omnibus_log" l, "public"."omnibus_log" u
    WHERE l.stream = of_stream AND l.partition = of_partition AND l.seq = reached + 1
      AND u.stream = of_stream AND u.partition = of_partition AND u.seq = to_;
  IF size <= most_bytes THEN
    SELECT array_agg(s.seq) INTO seqs
      FROM (SELECT l.seq FROM "public"."omnibus_log" l
              WHERE l.stream = of_stream AND l.partition = of_partition AND l.seq > reached AND l.seq <= to_
                AND (pattern IS NULL OR CASE WHEN exact IS NOT NULL THEN l.topic = ANY (exact) ELSE l.topic ~ pattern END) AND (l.expires IS NULL OR l.expires > now_ms)
              ORDER BY l.seq) s;
    IF cardinality(seqs) = to_ - reached THEN bytes := size; reached := to_; RETURN; END IF;
  END IF;
  upper := least(newest, reached + scan);
  SELECT array_agg(r.seq ORDER BY r.seq) FILTER (WHERE NOT r.over), count(*) FILTER (WHERE r.over), count(*), max(r.seq), coalesce(max(r.so_far), 0)
    INTO seqs, expired, looked, last_looked, bytes
    FROM (SELECT l.seq, coalesce(l.expires <= now_ms, false) AS over, octet_length(l.body) AS size,
                 sum(octet_length(l.body)) OVER (ORDER BY l.seq) AS so_far
            FROM "public"."omnibus_log" l
            WHERE l.stream = of_stream AND l.partition = of_partition AND l.seq > reached AND l.seq <= upper
              AND (pattern IS NULL OR CASE WHEN exact IS NOT NULL THEN l.topic = ANY (exact) ELSE l.topic ~ pattern END)
            ORDER BY l.seq LIMIT most) r
    WHERE r.so_far - r.size < most_bytes;
  reached := CASE WHEN looked < most AND bytes < most_bytes THEN upper ELSE last_looked END;
END $read$;
CREATE FUNCTION "public"."omnibus_1_claim"(
  of_member bigint, of_session int, of_grp int, known bigint, self text, streams int[], patterns text[], turn int, most int, most_bytes bigint,
  paused_streams int[], paused_parts smallint[]
) RETURNS TABLE (o_kind int, o_id bigint, o_stream int, o_partition smallint, o_seq bigint, o_last bigint, o_deliveries int,
  o_attempts int, o_notes text, o_avoid text, o_topic text, o_key text, o_headers text, o_body bytea
) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $claim$
#variable_conflict use_column
DECLARE
  now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint; v bigint; g_roster bigint; h record; c record; r record; row_ record; lost bigint := 0; expired bigint := 0;
  ps int[]; pp smallint[]; starts bigint[]; n int; i int; at_ int; claimed_ bigint; was bigint; bits bytea; width int; split bigint;
  more boolean := false; due_ bigint; new_id bigint;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  PERFORM pg_advisory_xact_lock_shared((8090734967539105792)::bigint + ((of_grp % 65536)::bigint << 12));
  SELECT version, roster INTO v, g_roster FROM "public"."omnibus_grp" WHERE id = of_grp;
  IF NOT FOUND THEN RETURN; END IF;
  SELECT session INTO i FROM "public"."omnibus_member" WHERE id = of_member;
  IF NOT FOUND THEN o_kind := 9; RETURN NEXT; RETURN; END IF;
  IF i <> of_session THEN o_kind := 8; RETURN NEXT; RETURN; END IF;
  o_kind := 0; o_id := v; o_seq := g_roster; RETURN NEXT;
  FOR row_ IN
    WITH l AS (SELECT stream, partition, lost FROM "public"."omnibus_place" WHERE grp = of_grp AND lost > 0 FOR UPDATE SKIP LOCKED)
    UPDATE "public"."omnibus_place" p SET lost = 0 FROM l WHERE p.grp = of_grp AND p.stream = l.stream AND p.partition = l.partition RETURNING l.lost AS lost
  LOOP lost := lost + row_.lost; END LOOP;

  IF v = known AND most > 0 THEN
    FOR h IN SELECT * FROM "public"."omnibus_held" WHERE grp = of_grp AND member IS NULL AND due <= now_ms
        AND (CASE WHEN avoid IS NOT NULL AND strpos(avoid, self) > 0 AND not_before IS NOT NULL
                  THEN greatest(due + 10000, not_before) ELSE due END) <= now_ms
      ORDER BY due LIMIT most FOR UPDATE SKIP LOCKED
    LOOP
      SELECT l.topic, l.key, l.headers, l.body INTO row_ FROM "public"."omnibus_log" l JOIN "public"."omnibus_part" p ON p.stream = l.stream AND p.partition = l.partition
        WHERE l.stream = h.stream AND l.partition = h.partition AND l.seq = h.seq AND l.seq >= p.first;
      IF NOT FOUND THEN
        DELETE FROM "public"."omnibus_held" WHERE grp = of_grp AND stream = h.stream AND partition = h.partition AND seq = h.seq;
        lost := lost + 1;
        CONTINUE;
      END IF;
      UPDATE "public"."omnibus_held" SET member = of_member, deliveries = deliveries + 1
        WHERE grp = of_grp AND stream = h.stream AND partition = h.partition AND seq = h.seq;
      RETURN QUERY SELECT 3, NULL::bigint, h.stream, h.partition, h.seq, CASE WHEN h.avoid IS NULL THEN h.not_before END,
        h.deliveries + 1, h.attempts, h.headers, h.avoid, row_.topic, row_.key, row_.headers, row_.body;
      most := most - 1; most_bytes := most_bytes - octet_length(row_.body);
      EXIT WHEN most <= 0 OR most_bytes <= 0;
    END LOOP;

    FOR c IN SELECT * FROM "public"."omnibus_claim" WHERE grp = of_grp AND member IS NULL ORDER BY stream, partition, first LIMIT 64 FOR UPDATE SKIP LOCKED
    LOOP
      IF most <= 0 OR most_bytes <= 0 THEN more := true; EXIT; END IF;
      SELECT count(*) AS many, max(seq) AS last_seq, coalesce(max(so_far), 0) AS bytes INTO r
        FROM (SELECT l.seq, octet_length(l.body) AS size, sum(octet_length(l.body)) OVER (ORDER BY l.seq) AS so_far
                FROM "public"."omnibus_log" l JOIN "public"."omnibus_part" p ON p.stream = l.stream AND p.partition = l.partition
                WHERE l.stream = c.stream AND l.partition = c.partition AND l.seq >= c.low AND l.seq <= c.last AND l.seq >= p.first
                  AND get_bit(c.done, (l.seq - c.first)::int) = 0
                ORDER BY l.seq LIMIT most) s
        WHERE so_far - size < most_bytes;
      bits := c.done;
      IF r.many < most AND r.bytes < most_bytes THEN
        split := c.last;
      ELSE
        -- what does not fit stays as it was; bits that are no message's are set, so that the others can be counted
        split := r.last_seq;
        more := true;
        FOR k IN 0 .. (split - c.first)::int LOOP bits := set_bit(bits, k, 1); END LOOP;
        IF bit_count(bits) < octet_length(bits) * 8 THEN
          INSERT INTO "public"."omnibus_claim" (grp, stream, partition, first, last, low, done, deliveries, member)
            VALUES (of_grp, c.stream, c.partition, c.first, c.last, split + 1, bits, c.deliveries, NULL);
        END IF;
        bits := substring(c.done FOR ((split - c.first) / 8 + 1)::int);
        FOR k IN (split - c.first + 1)::int .. octet_length(bits) * 8 - 1 LOOP bits := set_bit(bits, k, 1); END LOOP;
      END IF;
      UPDATE "public"."omnibus_claim" SET member = of_member, deliveries = c.deliveries + 1, last = split, done = bits WHERE id = c.id;
      RETURN QUERY SELECT 1, c.id, c.stream, c.partition, c.first, split, c.deliveries + 1, 0, NULL, NULL, NULL, NULL, NULL, bits;
      RETURN QUERY SELECT 2, c.id, c.stream, c.partition, l.seq, NULL::bigint, c.deliveries + 1, 0, NULL, NULL, l.topic, l.key, l.headers, l.body
        FROM "public"."omnibus_log" l JOIN "public"."omnibus_part" p ON p.stream = l.stream AND p.partition = l.partition
        WHERE l.stream = c.stream AND l.partition = c.partition AND l.seq >= c.low AND l.seq <= split AND l.seq >= p.first
          AND get_bit(bits, (l.seq - c.first)::int) = 0
        ORDER BY l.seq;
      most := most - r.many; most_bytes := most_bytes - r.bytes;
    END LOOP;

    SELECT array_agg(q.stream), array_agg(q.partition), array_agg(q.start) INTO ps, pp, starts
      FROM (SELECT p.stream, p.partition, p.start,
                   (SELECT l.seq FROM "public"."omnibus_log" l WHERE l.stream = p.stream AND l.partition = p.partition ORDER BY l.seq DESC LIMIT 1) AS newest,
                   (SELECT c.seq FROM "public"."omnibus_claimed" c WHERE c.grp = of_grp AND c.stream = p.stream AND c.partition = p.partition ORDER BY c.seq DESC LIMIT 1) AS was
              FROM "public"."omnibus_place" p WHERE p.grp = of_grp ORDER BY p.stream, p.partition) q
      WHERE q.newest > coalesce(q.was, q.start);
    n := coalesce(cardinality(ps), 0);
    FOR step IN 0 .. n - 1 LOOP
      IF most <= 0 OR most_bytes <= 0 THEN more := true; EXIT; END IF;
      i := (turn + step) % n + 1;
      at_ := array_position(streams, ps[i]);
      CONTINUE WHEN at_ IS NULL;
      CONTINUE WHEN EXISTS (SELECT FROM unnest(paused_streams, paused_parts) AS u(s, p) WHERE u.s = ps[i] AND u.p = pp[i]);
      IF NOT pg_try_advisory_xact_lock((8090734967270670336)::bigint + ((of_grp % 65536)::bigint << 12) + (ps[i] * 61 + pp[i]) % 4096) THEN more := true; CONTINUE; END IF;
      SELECT seq INTO was FROM "public"."omnibus_claimed" WHERE grp = of_grp AND stream = ps[i] AND partition = pp[i] ORDER BY seq DESC LIMIT 1;
      claimed_ := coalesce(was, starts[i]);
      SELECT * INTO r FROM "public"."omnibus_1_read"(ps[i], pp[i], claimed_, 4096, most, most_bytes, patterns[at_]);
      expired := expired + r.expired;
      more := more OR r.reached < r.newest;
      IF r.reached > claimed_ THEN
        INSERT INTO "public"."omnibus_claimed" (grp, stream, partition, seq) VALUES (of_grp, ps[i], pp[i], r.reached);
        DELETE FROM "public"."omnibus_claimed" WHERE grp = of_grp AND stream = ps[i] AND partition = pp[i] AND seq = was;
      END IF;
      CONTINUE WHEN r.seqs IS NULL;
      width := (r.seqs[cardinality(r.seqs)] - r.seqs[1])::int + 1;
      IF cardinality(r.seqs) = width THEN
        bits := decode(repeat('00', (width + 7) / 8), 'hex');
        FOR k IN width .. (width + 7) / 8 * 8 - 1 LOOP bits := set_bit(bits, k, 1); END LOOP;
      ELSE
        bits := decode(repeat('ff', (width + 7) / 8), 'hex');
        FOR k IN 1 .. cardinality(r.seqs) LOOP bits := set_bit(bits, (r.seqs[k] - r.seqs[1])::int, 0); END LOOP;
      END IF;
      INSERT INTO "public"."omnibus_claim" (grp, stream, partition, first, last, low, done, deliveries, member)
        VALUES (of_grp, ps[i], pp[i], r.seqs[1], r.seqs[cardinality(r.seqs)], r.seqs[1], bits, 1, of_member) RETURNING id INTO new_id;
      RETURN QUERY SELECT 1, new_id, ps[i], pp[i], r.seqs[1], r.seqs[cardinality(r.seqs)], 1, 0, NULL, NULL, NULL, NULL, NULL, bits;
      RETURN QUERY SELECT 2, new_id, ps[i], pp[i], l.seq, NULL::bigint, 1, 0, NULL, NULL, l.topic, l.key, l.headers, l.body
        FROM "public"."omnibus_log" l WHERE l.stream = ps[i] AND l.partition = pp[i] AND l.seq >= r.seqs[1] AND l.seq <= r.seqs[cardinality(r.seqs)]
          AND (cardinality(r.seqs) = width OR get_bit(bits, (l.seq - r.seqs[1])::int) = 0)
        ORDER BY l.seq;
      most := most - cardinality(r.seqs); most_bytes := most_bytes - r.bytes;
    END LOOP;
  END IF;

  o_id := NULL; o_stream := NULL; o_partition := NULL;
  IF lost > 0 THEN o_kind := 4; o_seq := lost; o_attempts := 0; RETURN NEXT; END IF;
  IF expired > 0 THEN o_kind := 4; o_seq := expired; o_attempts := 1; RETURN NEXT; END IF;
  SELECT due INTO due_ FROM "public"."omnibus_held" WHERE grp = of_grp AND member IS NULL AND avoid IS NULL ORDER BY due LIMIT 1;
  -- those that were released are few
  SELECT least(due_, min(CASE WHEN strpos(avoid, self) > 0 AND not_before IS NOT NULL
                              THEN greatest(due + 10000, not_before) ELSE due END)) INTO due_
    FROM "public"."omnibus_held" WHERE grp = of_grp AND member IS NULL AND avoid IS NOT NULL;
  IF due_ IS NOT NULL THEN o_kind := 5; o_seq := greatest(0, due_ - now_ms); RETURN NEXT; END IF;
  IF more THEN o_kind := 6; RETURN NEXT; END IF;
END $claim$;
CREATE FUNCTION "public"."omnibus_1_settle"(
  of_member bigint, of_session int, of_grp int, self text, lasting boolean, ids bigint[], lows bigint[], bits bytea[],
  gone_streams int[], gone_parts smallint[], gone_seqs bigint[], entries text, bodies bytea[]
) RETURNS TABLE (o_kind int, o_id bigint, o_done boolean, o_delay bigint) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $settle$
#variable_conflict use_column
DECLARE
  now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint; written bigint[] := '{}'; part_ bigint[]; e jsonb; n int := 0; ok boolean; before text; avoid_ text; rest boolean;
  due_ bigint; not_before_ bigint; to_ bigint;
BEGIN
  IF NOT lasting THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
  PERFORM pg_advisory_xact_lock_shared((8090734967539105792)::bigint + ((of_grp % 65536)::bigint << 12));
  -- without a seat there is nothing that could be changed
  IF EXISTS (SELECT FROM "public"."omnibus_member" WHERE id = of_member AND session <> of_session) THEN
    o_kind := 8; RETURN NEXT; RETURN;
  END IF;
  WITH gone AS (DELETE FROM "public"."omnibus_claim" c USING unnest(ids, bits) AS u(id, b) WHERE c.id = u.id AND u.b IS NULL AND c.member = of_member RETURNING c.id)
    SELECT array_agg(id) INTO part_ FROM gone;
  written := written || coalesce(part_, '{}');
  WITH kept AS (UPDATE "public"."omnibus_claim" c SET done = u.b, low = u.low FROM unnest(ids, lows, bits) AS u(id, low, b)
      WHERE c.id = u.id AND u.b IS NOT NULL AND c.member = of_member RETURNING c.id)
    SELECT array_agg(id) INTO part_ FROM kept;
  written := written || coalesce(part_, '{}');
  RETURN QUERY SELECT 1, u.id, false, 0::bigint FROM unnest(ids) AS u(id) WHERE u.id <> ALL (written);
  DELETE FROM "public"."omnibus_held" h USING unnest(gone_streams, gone_parts, gone_seqs) AS u(stream, partition, seq)
    WHERE h.grp = of_grp AND h.stream = u.stream AND h.partition = u.partition AND h.seq = u.seq AND h.member = of_member;
  IF entries IS NULL THEN RETURN; END IF;
  FOR e IN SELECT * FROM jsonb_array_elements(entries::jsonb) LOOP
    n := n + 1;
    ok := CASE WHEN e->>'run' IS NULL THEN true ELSE (e->>'run')::bigint = ANY (written) END;
    IF e->>'how' = 'dead' THEN
      IF e->>'run' IS NULL THEN
        DELETE FROM "public"."omnibus_held" WHERE grp = of_grp AND stream = (e->>'stream')::int AND partition = (e->>'partition')::smallint
          AND seq = (e->>'seq')::bigint AND member = of_member;
        ok := FOUND;
      END IF;
      IF ok THEN
      INSERT INTO "public"."omnibus_letter" (id, address, grp, topic, key, headers, body, stored_at, not_before)
        VALUES ((e->'letter')->>'id', (e->'letter')->>'address', (e->'letter')->>'group', (e->'letter')->>'topic', (e->'letter')->>'key', (e->'letter')->>'headers', bodies[n],
          ((e->'letter')->>'storedAt')::bigint, ((e->'letter')->>'notBefore')::bigint)
        ON CONFLICT (id) DO UPDATE SET address = excluded.address, grp = excluded.grp, topic = excluded.topic, key = excluded.key,
          headers = excluded.headers, body = excluded.body, stored_at = excluded.stored_at, not_before = excluded.not_before,
          token = NULL, claimed_until = 0;
      END IF;
    ELSIF ok THEN
      avoid_ := NULL; not_before_ := NULL; to_ := NULL;
      due_ := now_ms + coalesce((e->>'delay')::bigint, 0);
      IF e->>'how' = 'note' THEN
        to_ := of_member; due_ := 0; not_before_ := (e->>'notBefore')::bigint;
      ELSIF e->>'how' = 'release' THEN
        before := coalesce(e->>'avoid', '');
        avoid_ := CASE WHEN strpos(before, self) > 0 THEN self || '|' ELSE before || self || '|' END;
        SELECT coalesce(bool_and(strpos(avoid_, p.member) > 0), true) INTO rest
          FROM "public"."omnibus_process" p WHERE p.id IN (SELECT m.process FROM "public"."omnibus_member" m WHERE m.grp = of_grp);
        IF NOT rest THEN not_before_ := due_; due_ := now_ms; END IF;
      END IF;
      IF e->>'run' IS NULL THEN
        UPDATE "public"."omnibus_held" SET member = to_, due = due_, attempts = coalesce((e->>'attempts')::int, attempts), not_before = not_before_,
            deliveries = (e->>'deliveries')::int, headers = coalesce(e->>'headers', headers), avoid = avoid_
          WHERE grp = of_grp AND stream = (e->>'stream')::int AND partition = (e->>'partition')::smallint
            AND seq = (e->>'seq')::bigint AND member = of_member;
        ok := FOUND;
      ELSE
        INSERT INTO "public"."omnibus_held" (grp, stream, partition, seq, member, due, attempts, not_before, deliveries, headers, avoid)
          VALUES (of_grp, (e->>'stream')::int, (e->>'partition')::smallint, (e->>'seq')::bigint, to_, due_, coalesce((e->>'attempts')::int, 0),
            not_before_, (e->>'deliveries')::int, e->>'headers', avoid_)
          ON CONFLICT (grp, stream, partition, seq) DO UPDATE SET member = excluded.member, due = excluded.due, attempts = excluded.attempts,
            not_before = excluded.not_before, deliveries = excluded.deliveries, headers = excluded.headers, avoid = excluded.avoid;
      END IF;
    END IF;
    o_kind := 2; o_id := n - 1; o_done := ok; o_delay := greatest(0, coalesce(due_, 0) - now_ms); RETURN NEXT;
  END LOOP;
END $settle$;
CREATE FUNCTION "public"."omnibus_1_own_turn"(
  of_member bigint, of_session int, of_grp int, known bigint, lasting boolean, streams int[], parts smallint[], ns bigint[], cursors bigint[], dones bytea[],
  outs bigint[], dirty boolean[], afters bigint[], mosts int[], patterns text[], most int, most_bytes bigint,
  over_parts int[], over_seqs bigint[], entries text, bodies bytea[]
) RETURNS TABLE (o_kind int, o_index int, o_seq bigint, o_last bigint, o_count int, o_topic text, o_key text, o_headers text, o_body bytea
) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $own_turn$
#variable_conflict use_column
DECLARE
  now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint; v bigint; s int; r record; e jsonb; n int := 0; i int; g_roster bigint; pattern_ text; exact text[];
  kept boolean[]; newests bigint[]; tos bigint[]; reacheds bigint[]; outs_ bigint[] := outs; expireds int[]; counts int[];
  reads boolean; there boolean; spans bigint; size bigint; many bigint; room int;
BEGIN
  IF NOT lasting THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
  PERFORM pg_advisory_xact_lock_shared((8090734967539105792)::bigint + ((of_grp % 65536)::bigint << 12));
  SELECT g.version, g.roster, m.session INTO v, g_roster, s FROM "public"."omnibus_grp" g LEFT JOIN "public"."omnibus_member" m ON m.id = of_member WHERE g.id = of_grp;
  IF NOT FOUND THEN RETURN; END IF;
  IF s IS NULL THEN o_kind := 9; RETURN NEXT; RETURN; END IF;
  IF s <> of_session THEN o_kind := 8; RETURN NEXT; RETURN; END IF;
  o_kind := 0; o_seq := v; o_last := g_roster; RETURN NEXT;
  reads := v = known AND most > 0 AND most_bytes > 0;
  -- all partitions in one statement, in their order, since most have nothing new; `tos`: how far each may be read. OFFSET: or each mention of a column would look it up again
  SELECT array_agg(y.kept), array_agg(y.newest), array_agg(y.a + least(y.span, greatest(0, most - y.before))), sum(least(y.span, greatest(0, most - y.before)))
    INTO kept, newests, tos, spans
    FROM (SELECT x.*, sum(x.span) OVER (ROWS UNBOUNDED PRECEDING) - x.span AS before
            FROM (SELECT w.*, CASE WHEN w.kept AND reads THEN greatest(0, least(coalesce(w.newest - w.a, 0), w.m)) ELSE 0 END AS span
                    FROM (SELECT u.a, u.m, coalesce((SELECT p.member = of_member AND p.epoch = u.n >> 32 FROM "public"."omnibus_place" p
                                   WHERE p.grp = of_grp AND p.stream = u.s AND p.partition = u.p), false) AS kept,
                                 CASE WHEN u.a IS NOT NULL THEN
                                   (SELECT l.seq FROM "public"."omnibus_log" l WHERE l.stream = u.s AND l.partition = u.p ORDER BY l.seq DESC LIMIT 1) END AS newest
                            FROM unnest(streams, parts, ns, afters, mosts) AS u(s, p, n, a, m) OFFSET 0) w OFFSET 0) x OFFSET 0) y;
  reacheds := afters;
  expireds := array_fill(0, ARRAY[coalesce(cardinality(parts), 0)]);
  IF spans > 0 THEN
    -- mostly all of it is wanted, and less than there is room for: then nothing has to be counted
    SELECT sum(x.upper - x.lower), bool_and(x.upper IS NOT NULL AND x.lower IS NOT NULL) INTO size, there
      FROM (SELECT (SELECT l.total FROM "public"."omnibus_log" l WHERE l.stream = u.s AND l.partition = u.p AND l.seq = u.t) AS upper,
                   -- none where retention has passed it: the newest one that it drops stays in the log
                   (SELECT l.total - octet_length(l.body) FROM "public"."omnibus_log" l WHERE l.stream = u.s AND l.partition = u.p AND l.seq = u.a + 1
                      AND NOT EXISTS (SELECT FROM "public"."omnibus_part" t WHERE t.stream = u.s AND t.partition = u.p AND t.first > u.a + 1)) AS lower
              FROM unnest(streams, parts, afters, tos) AS u(s, p, a, t) WHERE u.t > u.a OFFSET 0) x;
    IF there AND size <= most_bytes THEN
      -- usually that of all
      IF spans > 16 THEN SELECT max(u), CASE WHEN max(u) ~ '^\^\(\?:(\w|\||\\[^\w|])+\)\$$'
    THEN string_to_array(regexp_replace(substr(max(u), 5, length(max(u)) - 6), '\\(.)', '\1', 'g'), '|') END INTO pattern_, exact FROM unnest(patterns) AS u; END IF;
      RETURN QUERY SELECT 2, (u.i - 1)::int, l.seq, NULL::bigint, 0, l.topic, l.key, l.headers, l.body
        FROM unnest(streams, parts, afters, tos, patterns) WITH ORDINALITY AS u(s, p, a, t, pattern, i),
          LATERAL (SELECT m.* FROM "public"."omnibus_log" m WHERE m.stream = u.s AND m.partition = u.p AND m.seq > u.a AND m.seq <= u.t
                     AND (u.pattern IS NULL OR CASE WHEN exact IS NOT NULL AND u.pattern = pattern_ THEN m.topic = ANY (exact) ELSE m.topic ~ u.pattern END)
                     AND (m.expires IS NULL OR m.expires > now_ms) ORDER BY m.seq) l
        WHERE u.t > u.a;
      GET DIAGNOSTICS many = ROW_COUNT;
      IF many = spans THEN
        outs_ := ARRAY(SELECT CASE WHEN u.t > u.a THEN greatest(u.o, u.t) ELSE u.o END FROM unnest(outs, afters, tos) AS u(o, a, t));
      ELSE
        SELECT array_agg(greatest(u.o, l.last)), array_agg(l.over), array_agg(l.count) INTO outs_, expireds, counts
          FROM unnest(streams, parts, afters, tos, patterns, outs) AS u(s, p, a, t, pattern, o),
            LATERAL (SELECT max(m.seq) FILTER (WHERE m.expires IS NULL OR m.expires > now_ms) AS last, (count(*) FILTER (WHERE m.expires <= now_ms))::int AS over,
                            (count(*) FILTER (WHERE m.expires IS NULL OR m.expires > now_ms))::int AS count
                       FROM "public"."omnibus_log" m WHERE m.stream = u.s AND m.partition = u.p AND m.seq > u.a AND m.seq <= u.t
                         AND (u.pattern IS NULL OR m.topic ~ u.pattern)) l;
      END IF;
      most := most - many; most_bytes := most_bytes - CASE WHEN many > 0 THEN size ELSE 0 END;
      reacheds := ARRAY(SELECT greatest(u.a, u.t) FROM unnest(afters, tos) AS u(a, t));
    ELSE
      tos := afters;
    END IF;
  END IF;
  -- not so, or with room left for what comes behind what nobody wants
  FOR i IN 1 .. coalesce(cardinality(parts), 0) LOOP
    EXIT WHEN NOT reads OR most <= 0 OR most_bytes <= 0;
    CONTINUE WHEN NOT kept[i] OR afters[i] IS NULL OR newests[i] <= reacheds[i];
    room := least(most, mosts[i] - coalesce(counts[i], tos[i] - afters[i]));
    CONTINUE WHEN newests[i] IS NOT NULL AND room <= 0;
    SELECT * INTO r FROM "public"."omnibus_1_read"(streams[i], parts[i], reacheds[i], 4096, room, most_bytes, patterns[i]);
    IF r.seqs IS NOT NULL THEN
      outs_[i] := greatest(outs_[i], r.seqs[cardinality(r.seqs)]);
      most := most - cardinality(r.seqs); most_bytes := most_bytes - r.bytes;
      RETURN QUERY SELECT 2, i - 1, l.seq, NULL::bigint, 0, l.topic, l.key, l.headers, l.body
        FROM "public"."omnibus_log" l WHERE l.stream = streams[i] AND l.partition = parts[i] AND l.seq >= r.seqs[1] AND l.seq <= r.seqs[cardinality(r.seqs)]
          AND (cardinality(r.seqs) = r.seqs[cardinality(r.seqs)] - r.seqs[1] + 1 OR l.seq = ANY (r.seqs))
        ORDER BY l.seq;
    END IF;
    reacheds[i] := r.reached; newests[i] := r.newest;
    expireds[i] := coalesce(expireds[i], 0) + r.expired;
  END LOOP;
  RETURN QUERY SELECT CASE WHEN u.k THEN 3 ELSE 1 END, (u.i - 1)::int, u.r, u.newest, coalesce(u.over, 0), NULL, NULL, NULL, NULL::bytea
    FROM unnest(kept, reacheds, newests, expireds) WITH ORDINALITY AS u(k, r, newest, over, i)
    WHERE NOT u.k OR (reads AND u.r IS NOT NULL AND u.newest IS NOT NULL);
  WITH written AS (
    INSERT INTO "public"."omnibus_progress" AS g (grp, stream, partition, n, cursor, out, done)
      SELECT of_grp, u.s, u.p, u.n, u.c, u.o, u.d FROM unnest(streams, parts, ns, cursors, outs_, dones, kept, dirty, outs) AS u(s, p, n, c, o, d, k, w, before)
        WHERE u.k AND (u.w OR u.o > u.before)
      ON CONFLICT (grp, stream, partition, n) DO UPDATE SET cursor = excluded.cursor, out = excluded.out, done = excluded.done
      RETURNING g.stream, g.partition, g.n)
    DELETE FROM "public"."omnibus_progress" g USING written w
      WHERE w.n % 4 = 0 AND g.grp = of_grp AND g.stream = w.stream AND g.partition = w.partition AND g.n < w.n AND g.n >= w.n - 8;
  FOR i IN 1 .. coalesce(cardinality(over_parts), 0) LOOP
    IF kept[over_parts[i]] THEN
      DELETE FROM "public"."omnibus_held" WHERE grp = of_grp AND stream = streams[over_parts[i]] AND partition = parts[over_parts[i]] AND seq = over_seqs[i];
    END IF;
  END LOOP;
  IF entries IS NULL THEN RETURN; END IF;
  FOR e IN SELECT * FROM jsonb_array_elements(entries::jsonb) LOOP
    n := n + 1;
    i := (e->>'part')::int;
    CONTINUE WHEN kept[i] IS NOT TRUE;
    IF e->>'how' = 'dead' THEN
      INSERT INTO "public"."omnibus_letter" (id, address, grp, topic, key, headers, body, stored_at, not_before)
        VALUES ((e->'letter')->>'id', (e->'letter')->>'address', (e->'letter')->>'group', (e->'letter')->>'topic', (e->'letter')->>'key', (e->'letter')->>'headers', bodies[n],
          ((e->'letter')->>'storedAt')::bigint, ((e->'letter')->>'notBefore')::bigint)
        ON CONFLICT (id) DO UPDATE SET address = excluded.address, grp = excluded.grp, topic = excluded.topic, key = excluded.key,
          headers = excluded.headers, body = excluded.body, stored_at = excluded.stored_at, not_before = excluded.not_before,
          token = NULL, claimed_until = 0;
    ELSE
      INSERT INTO "public"."omnibus_held" (grp, stream, partition, seq, member, due, attempts, not_before, deliveries, headers, avoid)
        VALUES (of_grp, streams[i], parts[i], (e->>'seq')::bigint, NULL, 9223372036854775807, (e->>'attempts')::int, (e->>'notBefore')::bigint,
          (e->>'deliveries')::int, e->>'headers', NULL)
        ON CONFLICT (grp, stream, partition, seq) DO UPDATE SET attempts = excluded.attempts, not_before = excluded.not_before,
          deliveries = excluded.deliveries, headers = excluded.headers;
    END IF;
  END LOOP;
END $own_turn$;
CREATE FUNCTION "public"."omnibus_1_tail"(of_stream int, parts smallint[], afters bigint[], pattern text, most int, most_bytes bigint)
RETURNS TABLE (o_kind int, o_index int, o_seq bigint, o_last bigint, o_missed bigint, o_topic text, o_key text, o_headers text, o_body bytea)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $tail$
#variable_conflict use_column
DECLARE r record;
BEGIN
  PERFORM 1 FROM "public"."omnibus_stream" WHERE id = of_stream AND NOT gone;
  IF NOT FOUND THEN RETURN; END IF;
  FOR i IN 1 .. cardinality(parts) LOOP
    SELECT * INTO r FROM "public"."omnibus_1_read"(of_stream, parts[i], afters[i], 4096, most, most_bytes, pattern);
    IF r.seqs IS NOT NULL THEN
      most := most - cardinality(r.seqs); most_bytes := most_bytes - r.bytes;
      RETURN QUERY SELECT 2, i - 1, l.seq, NULL::bigint, 0::bigint, l.topic, l.key, l.headers, l.body
        FROM "public"."omnibus_log" l WHERE l.stream = of_stream AND l.partition = parts[i] AND l.seq >= r.seqs[1] AND l.seq <= r.seqs[cardinality(r.seqs)]
          AND (cardinality(r.seqs) = r.seqs[cardinality(r.seqs)] - r.seqs[1] + 1 OR l.seq = ANY (r.seqs))
        ORDER BY l.seq;
    END IF;
    o_kind := 3; o_index := i - 1; o_seq := r.reached; o_last := r.newest; o_missed := r.missed; RETURN NEXT;
  END LOOP;
END $tail$;
CREATE FUNCTION "public"."omnibus_1_fold"(of_member bigint, counted boolean, streams int[], parts smallint[], epochs bigint[]) RETURNS int
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $fold$
#variable_conflict use_column
DECLARE p record; r record; given int := 0; outs_ bigint[];
BEGIN
  FOR p IN SELECT * FROM "public"."omnibus_place" WHERE member = of_member AND (streams IS NULL
      OR EXISTS (SELECT FROM unnest(streams, parts, epochs) AS u(s, n, e) WHERE u.s = stream AND u.n = partition AND (u.e IS NULL OR u.e = epoch)))
  LOOP
    SELECT cursor, out, done INTO r FROM "public"."omnibus_progress"
      WHERE grp = p.grp AND stream = p.stream AND partition = p.partition AND n >= p.epoch << 32 ORDER BY n DESC LIMIT 1;
    IF NOT FOUND THEN SELECT p.cursor AS cursor, 0::bigint AS out, p.done AS done INTO r; END IF;
    outs_ := ARRAY(SELECT o FROM unnest(coalesce(p.outs, '{}') || CASE WHEN counted THEN ARRAY[r.out] ELSE '{}'::bigint[] END) AS o WHERE o > r.cursor);
    UPDATE "public"."omnibus_place" SET member = NULL, epoch = epoch + 1, cursor = r.cursor, done = r.done, outs = outs_
      WHERE grp = p.grp AND stream = p.stream AND partition = p.partition;
    DELETE FROM "public"."omnibus_progress" WHERE grp = p.grp AND stream = p.stream AND partition = p.partition;
    -- notes of what was settled when its partition was lost
    DELETE FROM "public"."omnibus_held" WHERE grp = p.grp AND stream = p.stream AND partition = p.partition AND seq <= r.cursor;
    given := given + 1;
  END LOOP;
  RETURN given;
END $fold$;
CREATE FUNCTION "public"."omnibus_1_drop_group"(of_grp int) RETURNS boolean LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $drop_group$
DECLARE name_ text;
BEGIN
  PERFORM pg_advisory_xact_lock((8090734967539105792)::bigint + ((of_grp % 65536)::bigint << 12));
  DELETE FROM "public"."omnibus_grp" WHERE id = of_grp RETURNING name INTO name_;
  IF name_ IS NULL THEN RETURN false; END IF;
  DELETE FROM "public"."omnibus_claim" WHERE grp = of_grp;
  DELETE FROM "public"."omnibus_claimed" WHERE grp = of_grp;
  DELETE FROM "public"."omnibus_held" WHERE grp = of_grp;
  DELETE FROM "public"."omnibus_place" WHERE grp = of_grp;
  DELETE FROM "public"."omnibus_progress" WHERE grp = of_grp;
  DELETE FROM "public"."omnibus_member" WHERE grp = of_grp;
  DELETE FROM "public"."omnibus_letter" WHERE grp = name_;
  DELETE FROM "public"."omnibus_delayed" WHERE stream IN (SELECT id FROM "public"."omnibus_stream" WHERE queue AND name = name_);
  UPDATE "public"."omnibus_stream" SET gone = true, name = name || ' ' || id WHERE queue AND name = name_;
  RETURN true;
END $drop_group$;
CREATE FUNCTION "public"."omnibus_1_seat"(of_grp int, of_process bigint) RETURNS TABLE (o_member bigint, o_version bigint)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $seat$
#variable_conflict use_column
DECLARE now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint;
BEGIN
  -- in the order of a burial, or both would wait for each other
  PERFORM 1 FROM "public"."omnibus_process" WHERE id = of_process FOR SHARE;
  IF NOT FOUND THEN RETURN; END IF;
  PERFORM pg_advisory_xact_lock((8090734967539105792)::bigint + ((of_grp % 65536)::bigint << 12));
  UPDATE "public"."omnibus_grp" SET roster = roster + 1, idle_since = now_ms WHERE id = of_grp RETURNING version INTO o_version;
  IF NOT FOUND THEN RETURN; END IF;
  INSERT INTO "public"."omnibus_member" (grp, process, version) VALUES (of_grp, of_process, o_version) RETURNING id INTO o_member;
  -- perhaps the new one can handle what the others released
  UPDATE "public"."omnibus_held" SET not_before = coalesce(not_before, due), due = now_ms
    WHERE grp = of_grp AND member IS NULL AND avoid IS NOT NULL AND due > now_ms;
  RETURN NEXT;
END $seat$;
CREATE FUNCTION "public"."omnibus_1_leave"(of_member bigint, counted boolean) RETURNS int LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $leave$
#variable_conflict use_column
DECLARE g int; minus int := CASE WHEN counted THEN 0 ELSE 1 END;
BEGIN
  SELECT grp INTO g FROM "public"."omnibus_member" WHERE id = of_member;
  IF NOT FOUND THEN RETURN NULL; END IF;
  PERFORM pg_advisory_xact_lock((8090734967539105792)::bigint + ((g % 65536)::bigint << 12));
  DELETE FROM "public"."omnibus_member" WHERE id = of_member;
  IF NOT FOUND THEN RETURN NULL; END IF;
  UPDATE "public"."omnibus_claim" SET member = NULL, deliveries = deliveries - minus WHERE member = of_member;
  UPDATE "public"."omnibus_held" SET member = NULL, due = 0, deliveries = deliveries - minus WHERE member = of_member;
  PERFORM "public"."omnibus_1_fold"(of_member, counted, NULL, NULL, NULL);
  UPDATE "public"."omnibus_grp" SET roster = roster + 1, idle_since = floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint WHERE id = g;
  IF EXISTS (SELECT FROM "public"."omnibus_grp" WHERE id = g AND live) AND NOT EXISTS (SELECT FROM "public"."omnibus_member" WHERE grp = g) THEN
    PERFORM "public"."omnibus_1_drop_group"(g);
  END IF;
  RETURN g;
END $leave$;
CREATE FUNCTION "public"."omnibus_1_renew"(of_member bigint) RETURNS int LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $renew$
DECLARE g int; s int;
BEGIN
  SELECT grp INTO g FROM "public"."omnibus_member" WHERE id = of_member;
  IF NOT FOUND THEN RETURN NULL; END IF;
  PERFORM pg_advisory_xact_lock((8090734967539105792)::bigint + ((g % 65536)::bigint << 12));
  UPDATE "public"."omnibus_member" SET session = session + 1 WHERE id = of_member RETURNING session INTO s;
  RETURN s;
END $renew$;
CREATE FUNCTION "public"."omnibus_1_bury"(of_process bigint, seen_before bigint, own boolean) RETURNS int[] LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $bury$
#variable_conflict use_column
DECLARE m record; groups int[] := '{}'; listened boolean;
BEGIN
  PERFORM 1 FROM "public"."omnibus_process" WHERE id = of_process AND (own OR until < floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint OR seen <= seen_before) FOR UPDATE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  FOR m IN SELECT id, grp FROM "public"."omnibus_member" WHERE process = of_process ORDER BY grp LOOP
    groups := groups || coalesce("public"."omnibus_1_leave"(m.id, true), 0);
  END LOOP;
  WITH gone AS (DELETE FROM "public"."omnibus_listener" WHERE process = of_process RETURNING id)
    SELECT count(*) > 0 INTO listened FROM gone;
  IF listened THEN UPDATE "public"."omnibus_meta" SET value = (value::bigint + 1)::text WHERE key = 'direct'; END IF;
  DELETE FROM "public"."omnibus_process" WHERE id = of_process;
  RETURN groups;
END $bury$;
CREATE FUNCTION "public"."omnibus_1_beat"(of_process bigint, lease bigint) RETURNS TABLE (o_routing text, o_id text, o_dead bigint[])
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $beat$
#variable_conflict use_column
DECLARE now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  UPDATE "public"."omnibus_process" SET seen = now_ms, until = now_ms + lease WHERE id = of_process;
  IF NOT FOUND THEN RETURN; END IF;
  SELECT value INTO o_routing FROM "public"."omnibus_meta" WHERE key = 'routing';
  SELECT value INTO o_id FROM "public"."omnibus_meta" WHERE key = 'id';
  o_dead := ARRAY(SELECT id FROM "public"."omnibus_process" WHERE until < now_ms ORDER BY id);
  RETURN NEXT;
END $beat$;
CREATE FUNCTION "public"."omnibus_1_share"(
  of_member bigint, of_session int, of_grp int, take_streams int[], take_parts smallint[], give_streams int[], give_parts smallint[], give_epochs bigint[]
) RETURNS TABLE (o_stream int, o_partition smallint, o_epoch bigint, o_cursor bigint, o_done bytea, o_outs bigint[], o_first bigint, o_lost bigint)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $share$
#variable_conflict use_column
BEGIN
  PERFORM pg_advisory_xact_lock((8090734967539105792)::bigint + ((of_grp % 65536)::bigint << 12));
  PERFORM 1 FROM "public"."omnibus_member" WHERE id = of_member AND session = of_session;
  IF NOT FOUND THEN RETURN; END IF;
  IF cardinality(give_streams) > 0 AND "public"."omnibus_1_fold"(of_member, false, give_streams, give_parts, give_epochs) > 0 THEN
    UPDATE "public"."omnibus_grp" SET roster = roster + 1, idle_since = floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint WHERE id = of_grp;
  END IF;
  RETURN QUERY UPDATE "public"."omnibus_place" p SET member = of_member, epoch = epoch + 1
    FROM unnest(take_streams, take_parts) AS u(stream, partition), "public"."omnibus_part" t
    WHERE p.grp = of_grp AND p.stream = u.stream AND p.partition = u.partition AND p.member IS NULL
      AND t.stream = p.stream AND t.partition = p.partition
    RETURNING p.stream, p.partition, p.epoch, p.cursor, p.done, p.outs, t.first, 0::bigint;
  WITH l AS (SELECT stream, partition, lost FROM "public"."omnibus_place" WHERE grp = of_grp AND member = of_member AND lost > 0 FOR UPDATE),
    said AS (UPDATE "public"."omnibus_place" p SET lost = 0 FROM l WHERE p.grp = of_grp AND p.stream = l.stream AND p.partition = l.partition RETURNING l.lost AS lost)
    SELECT coalesce(sum(lost), 0) INTO o_lost FROM said;
  RETURN NEXT;
END $share$;
CREATE FUNCTION "public"."omnibus_1_define"(
  of_name text, expected bigint, new_reads text, new_origin text, new_keeps text, new_live boolean,
  streams int[], parts smallint[], starts bigint[], dropped int[]
) RETURNS TABLE (o_id int, o_version bigint) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $define$
#variable_conflict use_column
BEGIN
  IF expected = 0 THEN
    INSERT INTO "public"."omnibus_grp" (name, reads, origin, keeps, live, idle_since) VALUES (of_name, new_reads, new_origin, new_keeps, new_live, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)
      ON CONFLICT (name) DO NOTHING RETURNING id, version INTO o_id, o_version;
    IF o_id IS NULL THEN RETURN; END IF;
  ELSE
    SELECT id INTO o_id FROM "public"."omnibus_grp" WHERE name = of_name;
    IF NOT FOUND THEN RETURN; END IF;
    PERFORM pg_advisory_xact_lock((8090734967539105792)::bigint + ((o_id % 65536)::bigint << 12));
    UPDATE "public"."omnibus_grp" SET reads = new_reads, version = version + 1, roster = roster + 1 WHERE id = o_id AND version = expected RETURNING version INTO o_version;
    IF NOT FOUND THEN RETURN; END IF;
    DELETE FROM "public"."omnibus_claim" WHERE grp = o_id AND stream = ANY (dropped);
    DELETE FROM "public"."omnibus_claimed" WHERE grp = o_id AND stream = ANY (dropped);
    DELETE FROM "public"."omnibus_held" WHERE grp = o_id AND stream = ANY (dropped);
    DELETE FROM "public"."omnibus_place" WHERE grp = o_id AND stream = ANY (dropped);
    DELETE FROM "public"."omnibus_progress" WHERE grp = o_id AND stream = ANY (dropped);
  END IF;
  INSERT INTO "public"."omnibus_place" (grp, stream, partition, start, cursor)
    SELECT o_id, u.stream, u.partition, u.start, u.start FROM unnest(streams, parts, starts) AS u(stream, partition, start)
    ON CONFLICT (grp, stream, partition) DO NOTHING;
  RETURN NEXT;
END $define$;
CREATE FUNCTION "public"."omnibus_1_start"(of_grp int, streams int[], parts smallint[], starts bigint[], only_back boolean) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $start$
#variable_conflict use_column
DECLARE p record;
BEGIN
  PERFORM pg_advisory_xact_lock((8090734967539105792)::bigint + ((of_grp % 65536)::bigint << 12));
  IF NOT only_back AND EXISTS (SELECT FROM "public"."omnibus_member" WHERE grp = of_grp) THEN
    RAISE EXCEPTION 'the group has active members' USING ERRCODE = 'OM004';
  END IF;
  FOR p IN SELECT q.stream, q.partition, u.start FROM unnest(streams, parts, starts) AS u(stream, partition, start)
      JOIN "public"."omnibus_place" q ON q.grp = of_grp AND q.stream = u.stream AND q.partition = u.partition WHERE NOT only_back OR q.start > u.start
  LOOP
    IF only_back THEN
      UPDATE "public"."omnibus_place" SET start = p.start, cursor = least(cursor, p.start), done = NULL, member = NULL, epoch = epoch + 1
        WHERE grp = of_grp AND stream = p.stream AND partition = p.partition;
    ELSE
      UPDATE "public"."omnibus_place" SET start = p.start, cursor = p.start, done = NULL, outs = NULL, member = NULL, lost = 0, epoch = epoch + 1
        WHERE grp = of_grp AND stream = p.stream AND partition = p.partition;
      DELETE FROM "public"."omnibus_claim" WHERE grp = of_grp AND stream = p.stream AND partition = p.partition;
      DELETE FROM "public"."omnibus_held" WHERE grp = of_grp AND stream = p.stream AND partition = p.partition;
    END IF;
    DELETE FROM "public"."omnibus_claimed" WHERE grp = of_grp AND stream = p.stream AND partition = p.partition;
    DELETE FROM "public"."omnibus_progress" WHERE grp = of_grp AND stream = p.stream AND partition = p.partition;
  END LOOP;
  UPDATE "public"."omnibus_grp" SET roster = roster + 1, idle_since = floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint WHERE id = of_grp;
  RETURN true;
END $start$;
CREATE FUNCTION "public"."omnibus_1_floors"(of_stream int, of_grp int) RETURNS TABLE (o_grp int, o_stream int, o_partition smallint, o_floor bigint)
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $floors$
BEGIN
  RETURN QUERY SELECT p.grp, p.stream, p.partition, CASE g.keeps WHEN 'group' THEN
      greatest(p.cursor, (SELECT r.cursor FROM "public"."omnibus_progress" r
        WHERE r.grp = p.grp AND r.stream = p.stream AND r.partition = p.partition AND r.n >= p.epoch << 32 ORDER BY r.n DESC LIMIT 1))
    ELSE least(
      coalesce((SELECT c.seq FROM "public"."omnibus_claimed" c WHERE c.grp = p.grp AND c.stream = p.stream AND c.partition = p.partition ORDER BY c.seq DESC LIMIT 1), p.start),
      (SELECT min(c.low) - 1 FROM "public"."omnibus_claim" c WHERE c.grp = p.grp AND c.stream = p.stream AND c.partition = p.partition),
      (SELECT min(h.seq) - 1 FROM "public"."omnibus_held" h WHERE h.grp = p.grp AND h.stream = p.stream AND h.partition = p.partition)) END
  FROM "public"."omnibus_place" p JOIN "public"."omnibus_grp" g ON g.id = p.grp
  WHERE (of_grp IS NULL OR p.grp = of_grp) AND (of_stream IS NULL OR p.stream = of_stream);
END $floors$;
CREATE FUNCTION "public"."omnibus_1_above"(base bigint, done bytea, up_to bigint, OUT passed bigint[], OUT rest bytea)
LANGUAGE plpgsql IMMUTABLE AS $above$
DECLARE seq bigint := base; b int; d bigint := 0; scale bigint := 1;
BEGIN
  passed := '{}';
  FOR i IN 0 .. coalesce(octet_length(done), 0) - 1 LOOP
    b := get_byte(done, i);
    d := d + (b % 128) * scale;
    scale := scale * 128;
    CONTINUE WHEN b >= 128;
    seq := seq + d; d := 0; scale := 1;
    IF seq <= up_to THEN passed := passed || seq; CONTINUE; END IF;
    rest := '';
    d := seq - up_to;
    WHILE d >= 128 LOOP rest := rest || set_byte('\x00'::bytea, 0, (d % 128)::int + 128); d := d / 128; END LOOP;
    rest := rest || set_byte('\x00'::bytea, 0, d::int) || substring(done FROM i + 2);
    RETURN;
  END LOOP;
END $above$;
CREATE FUNCTION "public"."omnibus_1_trim"(of_stream int, of_partition smallint, up_to bigint, before bigint, grps int[], patterns text[])
RETURNS bigint LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $trim$
#variable_conflict use_column
DECLARE f bigint; upper bigint; newest bigint; cut_ bigint; g record; g2 record; count_ bigint; at_ bigint; pattern_ text; was bigint; r record; passed_ bigint[]; rest_ bytea;
BEGIN
  SELECT first INTO f FROM "public"."omnibus_part" WHERE stream = of_stream AND partition = of_partition FOR UPDATE;
  SELECT seq INTO newest FROM "public"."omnibus_log" WHERE stream = of_stream AND partition = of_partition ORDER BY seq DESC LIMIT 1;
  IF f IS NULL OR newest IS NULL THEN RETURN 0; END IF;
  upper := least(up_to, newest, f + 999);
  IF before IS NOT NULL THEN
    SELECT max(seq) INTO upper FROM "public"."omnibus_log" WHERE stream = of_stream AND partition = of_partition AND seq BETWEEN f AND upper AND at < before;
  END IF;
  IF upper IS NULL OR upper < f THEN RETURN 0; END IF;
  FOR g IN SELECT p.grp, p.start, d.keeps FROM "public"."omnibus_place" p JOIN "public"."omnibus_grp" d ON d.id = p.grp
      WHERE p.stream = of_stream AND p.partition = of_partition ORDER BY p.grp
  LOOP
    pattern_ := patterns[array_position(grps, g.grp)];
    passed_ := '{}'; rest_ := NULL;
    IF g.keeps = 'group' THEN
      -- nobody hands out meanwhile what is counted here; most often all of it is settled, and no lock is needed
      FOR locked IN 0 .. 1 LOOP
        SELECT p.cursor, p.member, p.epoch, p.done INTO g2 FROM "public"."omnibus_place" p WHERE p.grp = g.grp AND p.stream = of_stream AND p.partition = of_partition;
        at_ := g2.cursor;
        SELECT q.cursor, q.out INTO r FROM "public"."omnibus_progress" q
          WHERE q.grp = g.grp AND q.stream = of_stream AND q.partition = of_partition AND q.n >= g2.epoch << 32 ORDER BY q.n DESC LIMIT 1;
        IF FOUND THEN at_ := greatest(at_, r.cursor, CASE WHEN locked = 1 THEN r.out END); END IF;
        EXIT WHEN at_ >= upper OR locked = 1;
        PERFORM pg_advisory_xact_lock((8090734967539105792)::bigint + ((g.grp % 65536)::bigint << 12));
      END LOOP;
      IF g2.member IS NULL THEN SELECT x.passed, x.rest INTO passed_, rest_ FROM "public"."omnibus_1_above"(g2.cursor, g2.done, upper) x; END IF;
    ELSE
      PERFORM pg_advisory_xact_lock((8090734967270670336)::bigint + ((g.grp % 65536)::bigint << 12) + (of_stream * 61 + of_partition) % 4096);
      SELECT seq INTO was FROM "public"."omnibus_claimed" WHERE grp = g.grp AND stream = of_stream AND partition = of_partition ORDER BY seq DESC LIMIT 1;
      at_ := coalesce(was, g.start);
    END IF;
    CONTINUE WHEN at_ >= upper;
    SELECT count(*) INTO count_ FROM "public"."omnibus_log" WHERE stream = of_stream AND partition = of_partition AND seq BETWEEN greatest(f, at_ + 1) AND upper
      AND seq <> ALL (passed_) AND (pattern_ IS NULL OR topic ~ pattern_);
    IF g.keeps <> 'group' THEN
      INSERT INTO "public"."omnibus_claimed" (grp, stream, partition, seq) VALUES (g.grp, of_stream, of_partition, upper);
      DELETE FROM "public"."omnibus_claimed" WHERE grp = g.grp AND stream = of_stream AND partition = of_partition AND seq = was;
    END IF;
    UPDATE "public"."omnibus_place" SET lost = lost + count_, cursor = CASE WHEN g.keeps = 'group' AND member IS NULL THEN upper ELSE cursor END,
        done = CASE WHEN g.keeps = 'group' AND member IS NULL THEN rest_ ELSE done END
      WHERE grp = g.grp AND stream = of_stream AND partition = of_partition;
    UPDATE "public"."omnibus_grp" SET roster = roster + 1 WHERE id = g.grp;
  END LOOP;
  SELECT total INTO cut_ FROM "public"."omnibus_log" WHERE stream = of_stream AND partition = of_partition AND seq = upper;
  DELETE FROM "public"."omnibus_log" WHERE stream = of_stream AND partition = of_partition AND seq BETWEEN f - 1 AND least(upper, newest - 1);
  UPDATE "public"."omnibus_part" SET first = upper + 1, cut = cut_ WHERE stream = of_stream AND partition = of_partition;
  RETURN upper - f + 1;
END $trim$;
CREATE FUNCTION "public"."omnibus_1_relieve"(of_stream int, grps int[], patterns text[]) RETURNS bigint LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $relieve$
#variable_conflict use_column
DECLARE s record; o record; now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint;
BEGIN
  SELECT * INTO s FROM "public"."omnibus_stream" WHERE id = of_stream AND NOT gone;
  IF NOT FOUND THEN RETURN 0; END IF;
  SELECT p.partition, p.first, coalesce(h.handled, 9223372036854775807) AS handled, count(*) OVER () AS parts,
      sum(coalesce(l.seq, p.first - 1) - p.first + 1) OVER () AS messages INTO o
    FROM "public"."omnibus_part" p
      JOIN LATERAL (SELECT seq FROM "public"."omnibus_log" WHERE stream = p.stream AND partition = p.partition ORDER BY seq DESC LIMIT 1) l ON true
      JOIN LATERAL (SELECT at FROM "public"."omnibus_log" WHERE stream = p.stream AND partition = p.partition AND seq >= p.first ORDER BY seq LIMIT 1) f ON true
      LEFT JOIN (SELECT x.o_partition, min(x.o_floor) AS handled FROM "public"."omnibus_1_floors"(of_stream, NULL) x JOIN "public"."omnibus_grp" g ON g.id = x.o_grp
        WHERE g.idle_since > now_ms - s.idle_group OR EXISTS (SELECT FROM "public"."omnibus_member" m WHERE m.grp = g.id)
        GROUP BY x.o_partition) h ON h.o_partition = p.partition
    WHERE p.stream = of_stream
    ORDER BY coalesce(h.handled, 9223372036854775807) < p.first, f.at, p.partition LIMIT 1;
  IF NOT FOUND OR (o.handled < o.first AND s.when_full <> 'drop-oldest') THEN RETURN 0; END IF;
  RETURN "public"."omnibus_1_trim"(of_stream, o.partition, least(o.first + least(o.messages / (100 * o.parts), 999)::bigint,
    CASE WHEN o.handled < o.first THEN 9223372036854775807 ELSE o.handled END), NULL, grps, patterns);
END $relieve$;
CREATE FUNCTION "public"."omnibus_1_sweep"(of_stream int) RETURNS boolean LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $sweep$
DECLARE p smallint; lowest bigint; many bigint;
BEGIN
  PERFORM 1 FROM "public"."omnibus_stream" WHERE id = of_stream AND gone FOR UPDATE;
  IF NOT FOUND THEN RETURN true; END IF;
  FOR p IN SELECT partition FROM "public"."omnibus_part" WHERE stream = of_stream ORDER BY partition LOOP
    SELECT l.seq INTO lowest FROM "public"."omnibus_log" l WHERE l.stream = of_stream AND l.partition = p ORDER BY l.seq LIMIT 1;
    IF FOUND THEN
      DELETE FROM "public"."omnibus_log" WHERE stream = of_stream AND partition = p AND seq BETWEEN lowest AND lowest + 999;
      GET DIAGNOSTICS many = ROW_COUNT;
      RETURN false;
    END IF;
    DELETE FROM "public"."omnibus_part" WHERE stream = of_stream AND partition = p;
  END LOOP;
  DELETE FROM "public"."omnibus_delayed" WHERE stream = of_stream;
  DELETE FROM "public"."omnibus_claim" WHERE stream = of_stream;
  DELETE FROM "public"."omnibus_claimed" WHERE stream = of_stream;
  DELETE FROM "public"."omnibus_held" WHERE stream = of_stream;
  DELETE FROM "public"."omnibus_place" WHERE stream = of_stream;
  DELETE FROM "public"."omnibus_progress" WHERE stream = of_stream;
  DELETE FROM "public"."omnibus_stream" WHERE id = of_stream;
  RETURN true;
END $sweep$;
CREATE FUNCTION "public"."omnibus_1_move_due"(most int) RETURNS TABLE (o_moved int, o_next bigint, o_streams int[]) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $move_due$
#variable_conflict use_column
DECLARE now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint; ids bigint[]; full_ int[] := '{}'; before_ int; locked_ boolean := false; s record; d record; last_ record; held_m bigint; held_b bigint; waits bigint;
BEGIN
  o_moved := 0; o_streams := '{}';
  IF NOT pg_try_advisory_xact_lock((8090734968344412160)) THEN -- one at a time, or what one passes by would come behind what another took
    o_next := 50;
    RETURN NEXT;
    RETURN;
  END IF;
  LOOP -- what waits for a full stream is not in the way of others'; looked at without locks first, which are taken in order and once
    ids := ARRAY(SELECT id FROM "public"."omnibus_delayed" WHERE due <= now_ms AND stream <> ALL (full_) ORDER BY due, id LIMIT most FOR UPDATE SKIP LOCKED);
    IF locked_ THEN
      FOR s IN SELECT DISTINCT x.stream, x.partition FROM "public"."omnibus_delayed" x WHERE x.id = ANY (ids) ORDER BY x.stream, x.partition LOOP
        PERFORM pg_advisory_xact_lock((8090734967002234880)::bigint + ((s.stream % 65536)::bigint << 12) + s.partition);
      END LOOP;
    END IF;
    before_ := cardinality(full_);
    FOR s IN SELECT t.id, t.max_bytes, t.max_messages FROM "public"."omnibus_stream" t WHERE NOT t.gone AND t.when_full = 'reject' AND NOT t.queue
        AND t.id IN (SELECT x.stream FROM "public"."omnibus_delayed" x WHERE x.id = ANY (ids)) LOOP
      SELECT sum(coalesce(l.seq, p.first - 1) - p.first + 1), sum(coalesce(l.total, p.cut) - p.cut) INTO held_m, held_b
        FROM "public"."omnibus_part" p LEFT JOIN LATERAL (
          SELECT seq, total FROM "public"."omnibus_log" WHERE stream = p.stream AND partition = p.partition ORDER BY seq DESC LIMIT 1) l ON true
        WHERE p.stream = s.id;
      IF held_m >= s.max_messages OR held_b >= s.max_bytes THEN full_ := full_ || s.id; END IF;
    END LOOP;
    EXIT WHEN locked_;
    locked_ := cardinality(full_) = before_;
  END LOOP;
  FOR d IN SELECT x.* FROM "public"."omnibus_delayed" x WHERE x.id = ANY (ids) AND x.stream <> ALL (full_) ORDER BY x.due, x.id LOOP
    SELECT l.seq, l.total, l.at INTO last_ FROM "public"."omnibus_log" l WHERE l.stream = d.stream AND l.partition = d.partition ORDER BY l.seq DESC LIMIT 1;
    IF NOT FOUND THEN
      SELECT p.first - 1 AS seq, p.cut AS total, 0::bigint AS at INTO last_ FROM "public"."omnibus_part" p WHERE p.stream = d.stream AND p.partition = d.partition;
      IF FOUND THEN
      SELECT greatest(last_.seq, max(x.seq)) INTO last_.seq FROM (
        SELECT max(c.seq) FROM "public"."omnibus_claimed" c WHERE c.stream = d.stream AND c.partition = d.partition
        UNION ALL SELECT max(p.cursor) FROM "public"."omnibus_place" p WHERE p.stream = d.stream AND p.partition = d.partition
        UNION ALL SELECT max(greatest(g.cursor, g.out)) FROM "public"."omnibus_progress" g WHERE g.stream = d.stream AND g.partition = d.partition) AS x(seq);
      UPDATE "public"."omnibus_part" SET first = last_.seq + 1 WHERE stream = d.stream AND partition = d.partition AND first <= last_.seq;
      END IF;
    END IF;
    IF last_.seq IS NOT NULL THEN
      INSERT INTO "public"."omnibus_log" (stream, partition, seq, at, total, expires, broker, topic, key, headers, body)
        VALUES (d.stream, d.partition, last_.seq + 1, greatest(last_.at, now_ms), last_.total + octet_length(d.body), d.expires,
          CASE WHEN EXISTS (SELECT FROM "public"."omnibus_log" o WHERE o.stream = d.stream AND o.broker = d.broker) THEN NULL ELSE d.broker END,
          d.topic, d.key, d.headers, d.body);
    END IF;
    DELETE FROM "public"."omnibus_delayed" WHERE id = d.id;
    o_moved := o_moved + 1;
    IF d.stream <> ALL (o_streams) THEN o_streams := o_streams || d.stream; END IF;
  END LOOP;
  SELECT min(x.due) INTO waits FROM "public"."omnibus_delayed" x WHERE x.stream <> ALL (full_) AND x.due < 4611686018427387904;
  o_next := CASE WHEN waits IS NOT NULL THEN greatest(0, waits - now_ms) END; -- of nothing and 0 it would be 0
  IF cardinality(full_) > 0 THEN o_next := least(coalesce(o_next, 1000), 1000); END IF;
  RETURN NEXT;
END $move_due$;
CREATE FUNCTION "public"."omnibus_1_hear"(of_id bigint, of_process bigint, of_grp text, of_address text, new_patterns text, new_answers text, by_news boolean)
RETURNS bigint LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $hear$
DECLARE given bigint := of_id;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  IF of_id IS NULL THEN
    INSERT INTO "public"."omnibus_listener" (process, grp, address, patterns, answers, hears)
      VALUES (of_process, of_grp, of_address, new_patterns, new_answers, by_news)
      ON CONFLICT (address) DO UPDATE SET process = excluded.process, hears = excluded.hears RETURNING id INTO given;
  ELSE
    UPDATE "public"."omnibus_listener" SET patterns = new_patterns, answers = new_answers, hears = by_news WHERE id = of_id;
    IF NOT FOUND THEN RETURN NULL; END IF;
  END IF;
  UPDATE "public"."omnibus_meta" SET value = (value::bigint + 1)::text WHERE key = 'direct';
  RETURN given;
END $hear$;
CREATE FUNCTION "public"."omnibus_1_unhear"(of_id bigint) RETURNS void LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $unhear$
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  DELETE FROM "public"."omnibus_listener" WHERE id = of_id;
  DELETE FROM "public"."omnibus_direct" WHERE consumer = of_id;
  UPDATE "public"."omnibus_meta" SET value = (value::bigint + 1)::text WHERE key = 'direct';
END $unhear$;
CREATE FUNCTION "public"."omnibus_1_tell"(known text, channels text[], texts text[], consumers bigint[], frames bytea[], lasts bigint[])
RETURNS text LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $tell$
DECLARE is_ text; n bigint; text_ text;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  SELECT value INTO is_ FROM "public"."omnibus_meta" WHERE key = 'direct';
  IF is_ <> known THEN RETURN is_; END IF;
  FOR i IN 1 .. coalesce(cardinality(channels), 0) LOOP
    text_ := texts[i];
    IF frames[i] IS NOT NULL THEN
      INSERT INTO "public"."omnibus_direct" (consumer, frame, expires)
        VALUES (consumers[i], frames[i], floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + lasts[i]) RETURNING id INTO n;
      text_ := text_ || n;
    END IF;
    PERFORM pg_notify(channels[i], text_);
  END LOOP;
  RETURN is_;
END $tell$;
CREATE FUNCTION "public"."omnibus_1_put"(of_bucket text, of_key text, new_value bytea, ttl bigint, any_revision boolean, expected bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $put$
#variable_conflict use_column
DECLARE now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint; found_ bigint; given bigint;
BEGIN
  PERFORM pg_advisory_xact_lock((8090734967807541248)::bigint + (hashtext(of_bucket) & 268435455));
  SELECT revision INTO found_ FROM "public"."omnibus_state" WHERE bucket = of_bucket AND key = of_key AND value IS NOT NULL AND (expires IS NULL OR expires > now_ms);
  IF NOT any_revision AND found_ IS DISTINCT FROM expected THEN RETURN NULL; END IF;
  IF new_value IS NULL AND found_ IS NULL THEN RETURN NULL; END IF;
  given := nextval('"public"."omnibus_revision"');
  INSERT INTO "public"."omnibus_state" (bucket, key, value, revision, expires)
    VALUES (of_bucket, of_key, new_value, given, now_ms + CASE WHEN new_value IS NULL THEN 3600000 ELSE ttl END)
    ON CONFLICT (bucket, key) DO UPDATE SET value = excluded.value, revision = excluded.revision, expires = excluded.expires;
  RETURN given;
END $put$;
CREATE FUNCTION "public"."omnibus_1_tidy"() RETURNS void LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off SET plan_cache_mode = force_generic_plan AS $tidy$
DECLARE now_ms bigint := floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint; gone int[];
BEGIN
  DELETE FROM "public"."omnibus_state" WHERE expires <= now_ms AND (bucket, key) IN (
    SELECT s.bucket, s.key FROM "public"."omnibus_state" s WHERE s.expires <= now_ms ORDER BY s.expires LIMIT 20000);
  DELETE FROM "public"."omnibus_letter_gone" WHERE at < now_ms - 3600000;
  -- of streams whose rows somebody deleted by hand
  gone := ARRAY(SELECT DISTINCT stream FROM "public"."omnibus_part" WHERE stream NOT IN (SELECT id FROM "public"."omnibus_stream"));
  IF cardinality(gone) > 0 THEN
    DELETE FROM "public"."omnibus_place" WHERE stream = ANY (gone);
    DELETE FROM "public"."omnibus_progress" WHERE stream = ANY (gone);
    DELETE FROM "public"."omnibus_claimed" WHERE stream = ANY (gone);
    DELETE FROM "public"."omnibus_claim" WHERE stream = ANY (gone);
    DELETE FROM "public"."omnibus_held" WHERE stream = ANY (gone);
    DELETE FROM "public"."omnibus_delayed" WHERE stream = ANY (gone);
    DELETE FROM "public"."omnibus_part" WHERE stream = ANY (gone);
  END IF;
  DELETE FROM "public"."omnibus_direct" WHERE expires <= now_ms OR consumer NOT IN (SELECT id FROM "public"."omnibus_listener");
END $tidy$;
INSERT INTO "public"."omnibus_meta" VALUES ('layout', '4'), ('id', gen_random_uuid()::text), ('routing', '1'), ('direct', '1');
END $create$;
