/** What the HTTP surface asks about late events, led to the part that answers it. No state. */

import type { CoreLate } from '../../serve/core-late.ts'
import type { ServerContext } from '../context.ts'
import { lateEvents } from './late-ledger.ts'

export function createLateCore(context: ServerContext): CoreLate {
  return { list: (request) => lateEvents(context, request) }
}
