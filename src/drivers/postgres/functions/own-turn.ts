import { byKey, exactOf, few, lockOf, nowMs, type DatabaseFunction } from "./append.ts";
import { putLetter } from "./settle.ts";

const scan = 4_096;

/** What the rows of an answer are. */
export const ownKinds = { group: 0, stale: 1, message: 2, reached: 3, old: 8, unseated: 9 } as const;

/**
 * A turn of an ordered group's member: of each partition given how far it is settled, written where \`dirty\`, and what comes next,
 * where \`afters\` has a position; how far it hands out is written before it is. Fenced by each partition's epoch, which is the high
 * half of \`ns\`. Then notes that are over, and in \`entries\` notes and letters, by the index of their partition.
 */
export const ownTurnFunction: DatabaseFunction = {
  takes:
    "bigint, int, int, bigint, boolean, int[], smallint[], bigint[], bigint[], bytea[], bigint[], boolean[], bigint[], int[], text[], int, bigint, int[], bigint[], text, bytea[]",
  text: `CREATE FUNCTION {1:own_turn}(
  of_member bigint, of_session int, of_grp int, known bigint, lasting boolean, streams int[], parts smallint[], ns bigint[], cursors bigint[], dones bytea[],
  outs bigint[], dirty boolean[], afters bigint[], mosts int[], patterns text[], most int, most_bytes bigint,
  over_parts int[], over_seqs bigint[], entries text, bodies bytea[]
) RETURNS TABLE (o_kind int, o_index int, o_seq bigint, o_last bigint, o_count int, o_topic text, o_key text, o_headers text, o_body bytea
) LANGUAGE plpgsql VOLATILE ${byKey} AS $own_turn$
#variable_conflict use_column
DECLARE
  now_ms bigint := ${nowMs}; v bigint; s int; r record; e jsonb; n int := 0; i int; g_roster bigint; pattern_ text; exact text[];
  kept boolean[]; newests bigint[]; tos bigint[]; reacheds bigint[]; outs_ bigint[] := outs; expireds int[]; counts int[];
  reads boolean; there boolean; spans bigint; size bigint; many bigint; room int;
BEGIN
  IF NOT lasting THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
  PERFORM pg_advisory_xact_lock_shared(${lockOf("group", "of_grp")});
  SELECT g.version, g.roster, m.session INTO v, g_roster, s FROM {grp} g LEFT JOIN {member} m ON m.id = of_member WHERE g.id = of_grp;
  IF NOT FOUND THEN RETURN; END IF;
  IF s IS NULL THEN o_kind := ${ownKinds.unseated}; RETURN NEXT; RETURN; END IF;
  IF s <> of_session THEN o_kind := ${ownKinds.old}; RETURN NEXT; RETURN; END IF;
  o_kind := ${ownKinds.group}; o_seq := v; o_last := g_roster; RETURN NEXT;
  reads := v = known AND most > 0 AND most_bytes > 0;
  -- all partitions in one statement, in their order, since most have nothing new; \`tos\`: how far each may be read. OFFSET: or each mention of a column would look it up again
  SELECT array_agg(y.kept), array_agg(y.newest), array_agg(y.a + least(y.span, greatest(0, most - y.before))), sum(least(y.span, greatest(0, most - y.before)))
    INTO kept, newests, tos, spans
    FROM (SELECT x.*, sum(x.span) OVER (ROWS UNBOUNDED PRECEDING) - x.span AS before
            FROM (SELECT w.*, CASE WHEN w.kept AND reads THEN greatest(0, least(coalesce(w.newest - w.a, 0), w.m)) ELSE 0 END AS span
                    FROM (SELECT u.a, u.m, coalesce((SELECT p.member = of_member AND p.epoch = u.n >> 32 FROM {place} p
                                   WHERE p.grp = of_grp AND p.stream = u.s AND p.partition = u.p), false) AS kept,
                                 CASE WHEN u.a IS NOT NULL THEN
                                   (SELECT l.seq FROM {log} l WHERE l.stream = u.s AND l.partition = u.p ORDER BY l.seq DESC LIMIT 1) END AS newest
                            FROM unnest(streams, parts, ns, afters, mosts) AS u(s, p, n, a, m) OFFSET 0) w OFFSET 0) x OFFSET 0) y;
  reacheds := afters;
  expireds := array_fill(0, ARRAY[coalesce(cardinality(parts), 0)]);
  IF spans > 0 THEN
    -- mostly all of it is wanted, and less than there is room for: then nothing has to be counted
    SELECT sum(x.upper - x.lower), bool_and(x.upper IS NOT NULL AND x.lower IS NOT NULL) INTO size, there
      FROM (SELECT (SELECT l.total FROM {log} l WHERE l.stream = u.s AND l.partition = u.p AND l.seq = u.t) AS upper,
                   -- none where retention has passed it: the newest one that it drops stays in the log
                   (SELECT l.total - octet_length(l.body) FROM {log} l WHERE l.stream = u.s AND l.partition = u.p AND l.seq = u.a + 1
                      AND NOT EXISTS (SELECT FROM {part} t WHERE t.stream = u.s AND t.partition = u.p AND t.first > u.a + 1)) AS lower
              FROM unnest(streams, parts, afters, tos) AS u(s, p, a, t) WHERE u.t > u.a OFFSET 0) x;
    IF there AND size <= most_bytes THEN
      -- usually that of all
      IF spans > ${few} THEN SELECT max(u), ${exactOf("max(u)")} INTO pattern_, exact FROM unnest(patterns) AS u; END IF;
      RETURN QUERY SELECT ${ownKinds.message}, (u.i - 1)::int, l.seq, NULL::bigint, 0, l.topic, l.key, l.headers, l.body
        FROM unnest(streams, parts, afters, tos, patterns) WITH ORDINALITY AS u(s, p, a, t, pattern, i),
          LATERAL (SELECT m.* FROM {log} m WHERE m.stream = u.s AND m.partition = u.p AND m.seq > u.a AND m.seq <= u.t
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
                       FROM {log} m WHERE m.stream = u.s AND m.partition = u.p AND m.seq > u.a AND m.seq <= u.t
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
    SELECT * INTO r FROM {1:read}(streams[i], parts[i], reacheds[i], ${scan}, room, most_bytes, patterns[i]);
    IF r.seqs IS NOT NULL THEN
      outs_[i] := greatest(outs_[i], r.seqs[cardinality(r.seqs)]);
      most := most - cardinality(r.seqs); most_bytes := most_bytes - r.bytes;
      RETURN QUERY SELECT ${ownKinds.message}, i - 1, l.seq, NULL::bigint, 0, l.topic, l.key, l.headers, l.body
        FROM {log} l WHERE l.stream = streams[i] AND l.partition = parts[i] AND l.seq >= r.seqs[1] AND l.seq <= r.seqs[cardinality(r.seqs)]
          AND (cardinality(r.seqs) = r.seqs[cardinality(r.seqs)] - r.seqs[1] + 1 OR l.seq = ANY (r.seqs))
        ORDER BY l.seq;
    END IF;
    reacheds[i] := r.reached; newests[i] := r.newest;
    expireds[i] := coalesce(expireds[i], 0) + r.expired;
  END LOOP;
  RETURN QUERY SELECT CASE WHEN u.k THEN ${ownKinds.reached} ELSE ${ownKinds.stale} END, (u.i - 1)::int, u.r, u.newest, coalesce(u.over, 0), NULL, NULL, NULL, NULL::bytea
    FROM unnest(kept, reacheds, newests, expireds) WITH ORDINALITY AS u(k, r, newest, over, i)
    WHERE NOT u.k OR (reads AND u.r IS NOT NULL AND u.newest IS NOT NULL);
  WITH written AS (
    INSERT INTO {progress} AS g (grp, stream, partition, n, cursor, out, done)
      SELECT of_grp, u.s, u.p, u.n, u.c, u.o, u.d FROM unnest(streams, parts, ns, cursors, outs_, dones, kept, dirty, outs) AS u(s, p, n, c, o, d, k, w, before)
        WHERE u.k AND (u.w OR u.o > u.before)
      ON CONFLICT (grp, stream, partition, n) DO UPDATE SET cursor = excluded.cursor, out = excluded.out, done = excluded.done
      RETURNING g.stream, g.partition, g.n)
    DELETE FROM {progress} g USING written w
      WHERE w.n % 4 = 0 AND g.grp = of_grp AND g.stream = w.stream AND g.partition = w.partition AND g.n < w.n AND g.n >= w.n - 8;
  FOR i IN 1 .. coalesce(cardinality(over_parts), 0) LOOP
    IF kept[over_parts[i]] THEN
      DELETE FROM {held} WHERE grp = of_grp AND stream = streams[over_parts[i]] AND partition = parts[over_parts[i]] AND seq = over_seqs[i];
    END IF;
  END LOOP;
  IF entries IS NULL THEN RETURN; END IF;
  FOR e IN SELECT * FROM jsonb_array_elements(entries::jsonb) LOOP
    n := n + 1;
    i := (e->>'part')::int;
    CONTINUE WHEN kept[i] IS NOT TRUE;
    IF e->>'how' = 'dead' THEN${putLetter("(e->'letter')", "bodies[n]")};
    ELSE
      INSERT INTO {held} (grp, stream, partition, seq, member, due, attempts, not_before, deliveries, headers, avoid)
        VALUES (of_grp, streams[i], parts[i], (e->>'seq')::bigint, NULL, 9223372036854775807, (e->>'attempts')::int, (e->>'notBefore')::bigint,
          (e->>'deliveries')::int, e->>'headers', NULL)
        ON CONFLICT (grp, stream, partition, seq) DO UPDATE SET attempts = excluded.attempts, not_before = excluded.not_before,
          deliveries = excluded.deliveries, headers = excluded.headers;
    END IF;
  END LOOP;
END $own_turn$`,
};
