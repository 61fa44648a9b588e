/** For tests: plants a fault in the file of a published slice by plain DuckDB, as if the fold had given these rows. No state. */

import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { crc32 } from 'node:zlib'
import { DuckDBInstance } from '@duckdb/node-api'

export interface SliceFile {
  /** Relative to the data folder. */
  readonly path: string
  readonly from: number
  readonly to: number
}

/** The current slices of a view, in order. */
export function slicesOf(dataDir: string, view: string, part = 'main'): readonly SliceFile[] {
  const catalog = new DatabaseSync(join(dataDir, 'catalog.sqlite'), { readOnly: true })
  const rows = catalog
    .prepare(
      'SELECT path, from_cut, to_cut FROM slices WHERE view = ? AND part = ? AND superseded_ms IS NULL ORDER BY from_cut',
    )
    .all(view, part)
  catalog.close()
  return rows.map((row) => ({
    path: String(row.path),
    from: Number(row.from_cut),
    to: Number(row.to_cut),
  }))
}

/** Rewrites a slice by a SELECT over `slice` and puts its checksum right. The server does not run. */
export async function rewriteSlice(dataDir: string, slice: SliceFile, select: string): Promise<void> {
  const path = join(dataDir, slice.path)
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(`CREATE TABLE slice AS SELECT * FROM read_parquet('${path}')`)
  await connection.run(`COPY (${select}) TO '${path}' (FORMAT parquet)`)
  connection.closeSync()
  instance.closeSync()
  const catalog = new DatabaseSync(join(dataDir, 'catalog.sqlite'))
  catalog
    .prepare('UPDATE slices SET bytes = ?, checksum = ? WHERE path = ?')
    .run(statSync(path).size, crc32(readFileSync(path)), slice.path)
  catalog.close()
}
