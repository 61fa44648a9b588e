/** Log lines, for people and for programs. */

import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from './clock.ts'
import { createLogger } from './logger.ts'

const clock = { nowMs: () => Date.parse('2024-05-01T10:11:12.345Z') } as Clock

test('a line for people names what happened, one for programs is one JSON object', () => {
  const lines: string[] = []
  const write = (line: string) => lines.push(line)
  createLogger({ form: 'human', clock, write }).info('sealed', { view: 'a b', to: 7, gone: undefined })
  createLogger({ form: 'json', clock, write }).warn('sealed', { view: 'a b', to: 7 })
  assert.equal(lines[0], '10:11:12.345 info  sealed view="a b" to=7\n')
  assert.deepEqual(JSON.parse(lines[1]!), {
    time: '2024-05-01T10:11:12.345Z',
    level: 'warn',
    message: 'sealed',
    view: 'a b',
    to: 7,
  })
})

test('lines below the level are left out', () => {
  const lines: string[] = []
  const logger = createLogger({ form: 'human', level: 'warn', clock, write: (line) => lines.push(line) })
  logger.debug('a')
  logger.info('b')
  logger.warn('c')
  logger.error('d')
  assert.equal(lines.length, 2)
})
