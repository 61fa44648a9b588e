/** Which engine writes partial rows: a later one may write them in another form. No state. */

import { version } from '@duckdb/node-api'

/** Grows when the same plan gives partial rows of another form. */
const FORM = 1

export function engineId(): string {
  return `duckdb ${version()}, form ${FORM}`
}
