/**
 * Every view of the project as it stands on disk, read whole through the HTTP API and compared with the same SQL run by
 * plain DuckDB over the Parquet file that the flights came from. No state.
 */

import { readFileSync } from 'node:fs'
import path from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { compareView } from '../agreement.ts'
import { readWholeView } from '../view-rows.ts'
import { type Stage, shown, viewFile } from './stage.ts'

/** The number of views that agree in every row. */
export async function compareViews(stage: Stage, views: readonly string[], flights: string): Promise<number> {
  const { picture, server, counts } = stage
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(`CREATE VIEW flights AS ${flights}`)
  let exact = 0
  for (const name of views) {
    const sql = readFileSync(viewFile(stage, name), 'utf8')
    const view = { name, sql, ordered: /\bORDER BY\b/.test(sql) }
    const answers = await readWholeView(server.url, name, counts.cut)
    const agreement = await compareView(connection, view, answers, path.join(stage.scratch, 'answer.json'))
    if (agreement.exact) exact += 1
    const verdict = agreement.exact
      ? 'exact'
      : `${agreement.surplus} rows too many, ${agreement.missing} missing\n${agreement.examples.join('\n')}`
    picture.say(`compared   ${name.padEnd(18)} ${shown(agreement.rows).padStart(8)} rows  ${verdict}`)
  }
  connection.closeSync()
  instance.closeSync()
  return exact
}
