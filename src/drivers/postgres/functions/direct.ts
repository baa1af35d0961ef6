import { byKey, type DatabaseFunction } from "./append.ts";

const moved = "UPDATE {meta} SET value = (value::bigint + 1)::text WHERE key = 'direct'";

/** Who listens, anew or with other wishes; the number of its row. Not waited for the disk: after a crash all register again. */
const hear: DatabaseFunction = {
  takes: "bigint, bigint, text, text, text, text, boolean",
  text: `CREATE FUNCTION {1:hear}(of_id bigint, of_process bigint, of_grp text, of_address text, new_patterns text, new_answers text, by_news boolean)
RETURNS bigint LANGUAGE plpgsql VOLATILE ${byKey} AS $hear$
DECLARE given bigint := of_id;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  IF of_id IS NULL THEN
    INSERT INTO {listener} (process, grp, address, patterns, answers, hears)
      VALUES (of_process, of_grp, of_address, new_patterns, new_answers, by_news)
      ON CONFLICT (address) DO UPDATE SET process = excluded.process, hears = excluded.hears RETURNING id INTO given;
  ELSE
    UPDATE {listener} SET patterns = new_patterns, answers = new_answers, hears = by_news WHERE id = of_id;
    IF NOT FOUND THEN RETURN NULL; END IF;
  END IF;
  ${moved};
  RETURN given;
END $hear$`,
};

const unhear: DatabaseFunction = {
  takes: "bigint",
  text: `CREATE FUNCTION {1:unhear}(of_id bigint) RETURNS void LANGUAGE plpgsql VOLATILE ${byKey} AS $unhear$
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  DELETE FROM {listener} WHERE id = of_id;
  DELETE FROM {direct} WHERE consumer = of_id;
  ${moved};
END $unhear$`,
};

/**
 * Announces these texts on these channels, if who listens is as it was (\`known\`); else nothing, and says how it is. What is too
 * large for an announcement, or for somebody who hears none, is a row, whose number takes the place of \`#\`.
 */
const tell: DatabaseFunction = {
  takes: "text, text[], text[], bigint[], bytea[], bigint[]",
  text: `CREATE FUNCTION {1:tell}(known text, channels text[], texts text[], consumers bigint[], frames bytea[], lasts bigint[])
RETURNS text LANGUAGE plpgsql VOLATILE ${byKey} AS $tell$
DECLARE is_ text; n bigint; text_ text;
BEGIN
  PERFORM set_config('synchronous_commit', 'off', true);
  SELECT value INTO is_ FROM {meta} WHERE key = 'direct';
  IF is_ <> known THEN RETURN is_; END IF;
  FOR i IN 1 .. coalesce(cardinality(channels), 0) LOOP
    text_ := texts[i];
    IF frames[i] IS NOT NULL THEN
      INSERT INTO {direct} (consumer, frame, expires)
        VALUES (consumers[i], frames[i], floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint + lasts[i]) RETURNING id INTO n;
      text_ := text_ || n;
    END IF;
    PERFORM pg_notify(channels[i], text_);
  END LOOP;
  RETURN is_;
END $tell$`,
};

export const directFunctions: Readonly<Record<string, DatabaseFunction>> = { hear, unhear, tell };
