/** Lists the files of a backup at one cut. */

import { RefoldError } from '../../model/errors.ts'
import type { JsonValue } from '../../model/schema.ts'
import type { ServerContext } from '../context.ts'

export async function* serverBackup(
  _context: ServerContext,
  _options: { readonly slices: boolean; readonly signal: AbortSignal },
): AsyncGenerator<JsonValue> {
  yield null
  throw new RefoldError('BACKUP_DAMAGED', 'not yet')
}
