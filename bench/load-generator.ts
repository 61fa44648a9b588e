/**
 * The load generator: a process of its own, on the same machine as the server under test. It takes one order from
 * its parent, carries it out, answers with a report, and ends. Bodies are built before the clock starts; while
 * measuring it only writes ids into them. State: the account of what was acknowledged, from which the oracle
 * computes what the view must show.
 */

import { floodServer } from './flood.ts'
import type { Order, Reply } from './generator-protocol.ts'
import { lookUp } from './lookups.ts'
import { paceServer } from './paced.ts'

process.once('message', (order: Order) => {
  carryOut(order).then(
    (report) => reply({ kind: 'report', report }),
    (error: Error) => reply({ kind: 'failed', message: error.stack ?? error.message }),
  )
})
process.once('disconnect', () => process.exit(0))

function carryOut(order: Order) {
  switch (order.kind) {
    case 'flood':
      return floodServer(order)
    case 'paced':
      return paceServer(order)
    case 'lookups':
      return lookUp(order)
  }
}

function reply(message: Reply): void {
  process.send?.(message, () => process.exit(0))
}
