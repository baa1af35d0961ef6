import { byKey, lockOf, type DatabaseFunction } from "./append.ts";
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
DECLARE v bigint; s int; r record; e jsonb; n int := 0; i int; kept boolean[] := '{}'; out_ bigint; g_roster bigint;
BEGIN
  IF NOT lasting THEN PERFORM set_config('synchronous_commit', 'off', true); END IF;
  PERFORM pg_advisory_xact_lock_shared(${lockOf("group", "of_grp")});
  SELECT version, roster INTO v, g_roster FROM {grp} WHERE id = of_grp;
  IF NOT FOUND THEN RETURN; END IF;
  SELECT session INTO s FROM {member} WHERE id = of_member;
  IF NOT FOUND THEN o_kind := ${ownKinds.unseated}; RETURN NEXT; RETURN; END IF;
  IF s <> of_session THEN o_kind := ${ownKinds.old}; RETURN NEXT; RETURN; END IF;
  o_kind := ${ownKinds.group}; o_seq := v; o_last := g_roster; RETURN NEXT;
  FOR i IN 1 .. coalesce(cardinality(parts), 0) LOOP
    PERFORM 1 FROM {place} WHERE grp = of_grp AND stream = streams[i] AND partition = parts[i] AND member = of_member AND epoch = ns[i] >> 32;
    kept[i] := FOUND;
    IF NOT FOUND THEN o_kind := ${ownKinds.stale}; o_index := i - 1; RETURN NEXT; CONTINUE; END IF;
    out_ := outs[i];
    r := NULL;
    IF v = known AND afters[i] IS NOT NULL AND most > 0 AND most_bytes > 0 THEN
      SELECT * INTO r FROM {1:read}(streams[i], parts[i], afters[i], ${scan}, least(most, mosts[i]), most_bytes, patterns[i]);
      IF r.seqs IS NOT NULL THEN
        out_ := greatest(out_, r.seqs[cardinality(r.seqs)]);
        most := most - cardinality(r.seqs); most_bytes := most_bytes - r.bytes;
        RETURN QUERY SELECT ${ownKinds.message}, i - 1, l.seq, NULL::bigint, 0, l.topic, l.key, l.headers, l.body
          FROM {log} l WHERE l.stream = streams[i] AND l.partition = parts[i] AND l.seq >= r.seqs[1] AND l.seq <= r.seqs[cardinality(r.seqs)]
            AND (cardinality(r.seqs) = r.seqs[cardinality(r.seqs)] - r.seqs[1] + 1 OR l.seq = ANY (r.seqs))
          ORDER BY l.seq;
      END IF;
      o_kind := ${ownKinds.reached}; o_index := i - 1; o_seq := r.reached; o_last := r.newest; o_count := r.expired; RETURN NEXT;
    END IF;
    IF dirty[i] OR out_ > outs[i] THEN
      INSERT INTO {progress} (grp, stream, partition, n, cursor, out, done)
        VALUES (of_grp, streams[i], parts[i], ns[i], cursors[i], out_, dones[i])
        ON CONFLICT (grp, stream, partition, n) DO UPDATE SET cursor = excluded.cursor, out = excluded.out, done = excluded.done;
      DELETE FROM {progress} WHERE grp = of_grp AND stream = streams[i] AND partition = parts[i] AND n < ns[i] AND n >= ns[i] - 8;
    END IF;
  END LOOP;
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
