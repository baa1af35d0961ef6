import { byKey, cancelledFrom, lifted, lockOf, nowMs, type DatabaseFunction } from "./append.ts";

/** Up to where each group has handled each partition of a stream. */
const floors: DatabaseFunction = {
  takes: "int, int",
  text: `CREATE FUNCTION {1:floors}(of_stream int, of_grp int) RETURNS TABLE (o_grp int, o_stream int, o_partition smallint, o_floor bigint)
LANGUAGE plpgsql VOLATILE ${byKey} AS $floors$
BEGIN
  RETURN QUERY SELECT p.grp, p.stream, p.partition, CASE g.keeps WHEN 'group' THEN
      greatest(p.cursor, (SELECT r.cursor FROM {progress} r
        WHERE r.grp = p.grp AND r.stream = p.stream AND r.partition = p.partition AND r.n >= p.epoch << 32 ORDER BY r.n DESC LIMIT 1))
    ELSE least(
      coalesce((SELECT c.seq FROM {claimed} c WHERE c.grp = p.grp AND c.stream = p.stream AND c.partition = p.partition ORDER BY c.seq DESC LIMIT 1), p.start),
      (SELECT min(c.low) - 1 FROM {claim} c WHERE c.grp = p.grp AND c.stream = p.stream AND c.partition = p.partition),
      (SELECT min(h.seq) - 1 FROM {held} h WHERE h.grp = p.grp AND h.stream = p.stream AND h.partition = p.partition)) END
  FROM {place} p JOIN {grp} g ON g.id = p.grp
  WHERE (of_grp IS NULL OR p.grp = of_grp) AND (of_stream IS NULL OR p.stream = of_stream);
END $floors$`,
};

/** What of a partition is settled above its cursor, as differences of seven bits a byte: which are not above `up_to`, and the others from there. */
const above: DatabaseFunction = {
  takes: "bigint, bytea, bigint",
  text: `CREATE FUNCTION {1:above}(base bigint, done bytea, up_to bigint, OUT passed bigint[], OUT rest bytea)
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
    WHILE d >= 128 LOOP rest := rest || set_byte('\\x00'::bytea, 0, (d % 128)::int + 128); d := d / 128; END LOOP;
    rest := rest || set_byte('\\x00'::bytea, 0, d::int) || substring(done FROM i + 2);
    RETURN;
  END LOOP;
END $above$`,
};

/**
 * Takes the oldest of a partition away, at most 1,000, up to a position and only what is older than a time; the row with the newest
 * position stays, or the next one would be unknown. What groups had not come to is counted. How many went.
 */
const trim: DatabaseFunction = {
  takes: "int, smallint, bigint, bigint, int[], text[]",
  text: `CREATE FUNCTION {1:trim}(of_stream int, of_partition smallint, up_to bigint, before bigint, grps int[], patterns text[])
RETURNS bigint LANGUAGE plpgsql VOLATILE ${byKey} AS $trim$
#variable_conflict use_column
DECLARE f bigint; upper bigint; newest bigint; cut_ bigint; g record; g2 record; count_ bigint; at_ bigint; pattern_ text; was bigint; r record; passed_ bigint[]; rest_ bytea;
BEGIN
  SELECT first INTO f FROM {part} WHERE stream = of_stream AND partition = of_partition FOR UPDATE;
  SELECT seq INTO newest FROM {log} WHERE stream = of_stream AND partition = of_partition ORDER BY seq DESC LIMIT 1;
  IF f IS NULL OR newest IS NULL THEN RETURN 0; END IF;
  upper := least(up_to, newest, f + 999);
  IF before IS NOT NULL THEN
    SELECT max(seq) INTO upper FROM {log} WHERE stream = of_stream AND partition = of_partition AND seq BETWEEN f AND upper AND at < before;
  END IF;
  IF upper IS NULL OR upper < f THEN RETURN 0; END IF;
  FOR g IN SELECT p.grp, p.start, d.keeps FROM {place} p JOIN {grp} d ON d.id = p.grp
      WHERE p.stream = of_stream AND p.partition = of_partition ORDER BY p.grp
  LOOP
    pattern_ := patterns[array_position(grps, g.grp)];
    passed_ := '{}'; rest_ := NULL;
    IF g.keeps = 'group' THEN
      -- nobody hands out meanwhile what is counted here; most often all of it is settled, and no lock is needed
      FOR locked IN 0 .. 1 LOOP
        SELECT p.cursor, p.member, p.epoch, p.done INTO g2 FROM {place} p WHERE p.grp = g.grp AND p.stream = of_stream AND p.partition = of_partition;
        at_ := g2.cursor;
        SELECT q.cursor, q.out INTO r FROM {progress} q
          WHERE q.grp = g.grp AND q.stream = of_stream AND q.partition = of_partition AND q.n >= g2.epoch << 32 ORDER BY q.n DESC LIMIT 1;
        IF FOUND THEN at_ := greatest(at_, r.cursor, CASE WHEN locked = 1 THEN r.out END); END IF;
        EXIT WHEN at_ >= upper OR locked = 1;
        PERFORM pg_advisory_xact_lock(${lockOf("group", "g.grp")});
      END LOOP;
      IF g2.member IS NULL THEN SELECT x.passed, x.rest INTO passed_, rest_ FROM {1:above}(g2.cursor, g2.done, upper) x; END IF;
    ELSE
      PERFORM pg_advisory_xact_lock(${lockOf("claim", "g.grp")} + (of_stream * 61 + of_partition) % 4096);
      SELECT seq INTO was FROM {claimed} WHERE grp = g.grp AND stream = of_stream AND partition = of_partition ORDER BY seq DESC LIMIT 1;
      at_ := coalesce(was, g.start);
    END IF;
    CONTINUE WHEN at_ >= upper;
    SELECT count(*) INTO count_ FROM {log} WHERE stream = of_stream AND partition = of_partition AND seq BETWEEN greatest(f, at_ + 1) AND upper
      AND seq <> ALL (passed_) AND (pattern_ IS NULL OR topic ~ pattern_);
    IF g.keeps <> 'group' THEN
      INSERT INTO {claimed} (grp, stream, partition, seq) VALUES (g.grp, of_stream, of_partition, upper);
      DELETE FROM {claimed} WHERE grp = g.grp AND stream = of_stream AND partition = of_partition AND seq = was;
    END IF;
    UPDATE {place} SET lost = lost + count_, cursor = CASE WHEN g.keeps = 'group' AND member IS NULL THEN upper ELSE cursor END,
        done = CASE WHEN g.keeps = 'group' AND member IS NULL THEN rest_ ELSE done END
      WHERE grp = g.grp AND stream = of_stream AND partition = of_partition;
    UPDATE {grp} SET roster = roster + 1 WHERE id = g.grp;
  END LOOP;
  SELECT total INTO cut_ FROM {log} WHERE stream = of_stream AND partition = of_partition AND seq = upper;
  DELETE FROM {log} WHERE stream = of_stream AND partition = of_partition AND seq BETWEEN f - 1 AND least(upper, newest - 1);
  UPDATE {part} SET first = upper + 1, cut = cut_ WHERE stream = of_stream AND partition = of_partition;
  RETURN upper - f + 1;
END $trim$`,
};

/**
 * Makes room in a full stream: takes the oldest that every group has handled (one that had no member for long holds nothing back),
 * else, where the stream says so, the oldest of all; a little more than is needed, or every message would pay for the next one's room.
 */
const relieve: DatabaseFunction = {
  takes: "int, int[], text[]",
  text: `CREATE FUNCTION {1:relieve}(of_stream int, grps int[], patterns text[]) RETURNS bigint LANGUAGE plpgsql VOLATILE ${byKey} AS $relieve$
#variable_conflict use_column
DECLARE s record; o record; now_ms bigint := ${nowMs};
BEGIN
  SELECT * INTO s FROM {stream} WHERE id = of_stream AND NOT gone;
  IF NOT FOUND THEN RETURN 0; END IF;
  SELECT p.partition, p.first, coalesce(h.handled, 9223372036854775807) AS handled, count(*) OVER () AS parts,
      sum(coalesce(l.seq, p.first - 1) - p.first + 1) OVER () AS messages INTO o
    FROM {part} p
      JOIN LATERAL (SELECT seq FROM {log} WHERE stream = p.stream AND partition = p.partition ORDER BY seq DESC LIMIT 1) l ON true
      JOIN LATERAL (SELECT at FROM {log} WHERE stream = p.stream AND partition = p.partition AND seq >= p.first ORDER BY seq LIMIT 1) f ON true
      LEFT JOIN (SELECT x.o_partition, min(x.o_floor) AS handled FROM {1:floors}(of_stream, NULL) x JOIN {grp} g ON g.id = x.o_grp
        WHERE g.idle_since > now_ms - s.idle_group OR EXISTS (SELECT FROM {member} m WHERE m.grp = g.id)
        GROUP BY x.o_partition) h ON h.o_partition = p.partition
    WHERE p.stream = of_stream
    ORDER BY coalesce(h.handled, 9223372036854775807) < p.first, f.at, p.partition LIMIT 1;
  IF NOT FOUND OR (o.handled < o.first AND s.when_full <> 'drop-oldest') THEN RETURN 0; END IF;
  RETURN {1:trim}(of_stream, o.partition, least(o.first + least(o.messages / (100 * o.parts), 999)::bigint,
    CASE WHEN o.handled < o.first THEN 9223372036854775807 ELSE o.handled END), NULL, grps, patterns);
END $relieve$`,
};

/** Of a stream that was deleted, a batch; true when nothing is left. */
const sweep: DatabaseFunction = {
  takes: "int",
  text: `CREATE FUNCTION {1:sweep}(of_stream int) RETURNS boolean LANGUAGE plpgsql VOLATILE ${byKey} AS $sweep$
DECLARE p smallint; lowest bigint; many bigint;
BEGIN
  PERFORM 1 FROM {stream} WHERE id = of_stream AND gone FOR UPDATE;
  IF NOT FOUND THEN RETURN true; END IF;
  FOR p IN SELECT partition FROM {part} WHERE stream = of_stream ORDER BY partition LOOP
    SELECT l.seq INTO lowest FROM {log} l WHERE l.stream = of_stream AND l.partition = p ORDER BY l.seq LIMIT 1;
    IF FOUND THEN
      DELETE FROM {log} WHERE stream = of_stream AND partition = p AND seq BETWEEN lowest AND lowest + 999;
      GET DIAGNOSTICS many = ROW_COUNT;
      RETURN false;
    END IF;
    DELETE FROM {part} WHERE stream = of_stream AND partition = p;
  END LOOP;
  DELETE FROM {delayed} WHERE stream = of_stream;
  DELETE FROM {claim} WHERE stream = of_stream;
  DELETE FROM {claimed} WHERE stream = of_stream;
  DELETE FROM {held} WHERE stream = of_stream;
  DELETE FROM {place} WHERE stream = of_stream;
  DELETE FROM {progress} WHERE stream = of_stream;
  DELETE FROM {stream} WHERE id = of_stream;
  RETURN true;
END $sweep$`,
};

/** Puts what is due into its log; how many, and in how many milliseconds the next one is. What a full stream has no room for waits a second. */
const moveDue: DatabaseFunction = {
  takes: "int",
  text: `CREATE FUNCTION {1:move_due}(most int) RETURNS TABLE (o_moved int, o_next bigint, o_streams int[]) LANGUAGE plpgsql VOLATILE ${byKey} AS $move_due$
#variable_conflict use_column
DECLARE now_ms bigint := ${nowMs}; ids bigint[]; full_ int[] := '{}'; before_ int; locked_ boolean := false; s record; d record; last_ record; held_m bigint; held_b bigint; waits bigint;
BEGIN
  o_moved := 0; o_streams := '{}';
  IF NOT pg_try_advisory_xact_lock({lock:chores}) THEN -- one at a time, or what one passes by would come behind what another took
    o_next := 50;
    RETURN NEXT;
    RETURN;
  END IF;
  LOOP -- what waits for a full stream is not in the way of others'; looked at without locks first, which are taken in order and once
    ids := ARRAY(SELECT id FROM {delayed} WHERE due <= now_ms AND stream <> ALL (full_) ORDER BY due, id LIMIT most FOR UPDATE SKIP LOCKED);
    IF locked_ THEN
      FOR s IN SELECT DISTINCT x.stream, x.partition FROM {delayed} x WHERE x.id = ANY (ids) ORDER BY x.stream, x.partition LOOP
        PERFORM pg_advisory_xact_lock(${lockOf("append", "s.stream")} + s.partition);
      END LOOP;
    END IF;
    before_ := cardinality(full_);
    FOR s IN SELECT t.id, t.max_bytes, t.max_messages FROM {stream} t WHERE NOT t.gone AND t.when_full = 'reject' AND NOT t.queue
        AND t.id IN (SELECT x.stream FROM {delayed} x WHERE x.id = ANY (ids)) LOOP
      SELECT sum(coalesce(l.seq, p.first - 1) - p.first + 1), sum(coalesce(l.total, p.cut) - p.cut) INTO held_m, held_b
        FROM {part} p LEFT JOIN LATERAL (
          SELECT seq, total FROM {log} WHERE stream = p.stream AND partition = p.partition ORDER BY seq DESC LIMIT 1) l ON true
        WHERE p.stream = s.id;
      IF held_m >= s.max_messages OR held_b >= s.max_bytes THEN full_ := full_ || s.id; END IF;
    END LOOP;
    EXIT WHEN locked_;
    locked_ := cardinality(full_) = before_;
  END LOOP;
  FOR d IN SELECT x.* FROM {delayed} x WHERE x.id = ANY (ids) AND x.stream <> ALL (full_) ORDER BY x.due, x.id LOOP
    SELECT l.seq, l.total, l.at INTO last_ FROM {log} l WHERE l.stream = d.stream AND l.partition = d.partition ORDER BY l.seq DESC LIMIT 1;
    IF NOT FOUND THEN
      SELECT p.first - 1 AS seq, p.cut AS total, 0::bigint AS at INTO last_ FROM {part} p WHERE p.stream = d.stream AND p.partition = d.partition;
      IF FOUND THEN
      ${lifted("last_.seq", "d.stream", "d.partition")}
      END IF;
    END IF;
    IF last_.seq IS NOT NULL THEN
      INSERT INTO {log} (stream, partition, seq, at, total, expires, broker, topic, key, headers, body)
        VALUES (d.stream, d.partition, last_.seq + 1, greatest(last_.at, now_ms), last_.total + octet_length(d.body), d.expires,
          CASE WHEN EXISTS (SELECT FROM {log} o WHERE o.stream = d.stream AND o.broker = d.broker) THEN NULL ELSE d.broker END,
          d.topic, d.key, d.headers, d.body);
    END IF;
    DELETE FROM {delayed} WHERE id = d.id;
    o_moved := o_moved + 1;
    IF d.stream <> ALL (o_streams) THEN o_streams := o_streams || d.stream; END IF;
  END LOOP;
  SELECT min(x.due) INTO waits FROM {delayed} x WHERE x.stream <> ALL (full_) AND x.due < ${cancelledFrom};
  o_next := CASE WHEN waits IS NOT NULL THEN greatest(0, waits - now_ms) END; -- of nothing and 0 it would be 0
  IF cardinality(full_) > 0 THEN o_next := least(coalesce(o_next, 1000), 1000); END IF;
  RETURN NEXT;
END $move_due$`,
};

export const retainFunctions: Readonly<Record<string, DatabaseFunction>> = {
  floors,
  above,
  trim,
  relieve,
  sweep,
  move_due: moveDue,
};
