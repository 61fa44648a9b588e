/**
 * What both acts of the demo share: the server, the picture, what was sent so far, a folder for scratch files, and a
 * list of what should have held and did not. State: that list, and the counts, which the sender writes.
 */

import path from 'node:path'
import { runRefold } from '../refold-process.ts'
import type { DemoServer } from './demo-server.ts'
import type { SenderCounts } from './flights-sender.ts'
import type { Picture } from './picture.ts'

export interface Stage {
  readonly server: DemoServer
  readonly picture: Picture
  readonly counts: SenderCounts
  readonly scratch: string
  /** A copy of examples/flights, whose views the second act edits. */
  readonly project: string
  /** Sentences; the demo fails when there is one. */
  readonly wrong: string[]
  /** Seconds since the demo began. */
  elapsed(): number
}

/** Says what does not hold at once, and remembers it. */
export function mustHold(stage: Stage, holds: boolean, sentence: string): void {
  if (holds) return
  stage.wrong.push(sentence)
  stage.picture.say(`WRONG: ${sentence}`)
}

export function shown(value: number): string {
  return value.toLocaleString('en-US')
}

export function at(stage: Stage): string {
  return `${stage.elapsed().toFixed(0).padStart(3)} s `
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Runs `refold ARGS` in the project's folder; an exit code that is not expected is an error with the command's words. */
export async function refold(
  stage: Stage,
  args: readonly string[],
  { codes = [0], line }: { readonly codes?: readonly number[]; readonly line?: (text: string) => void } = {},
): Promise<string> {
  const end = await runRefold(stage.project, stage.server.url, args, line)
  if (codes.includes(end.code ?? -1)) return end.stdout
  throw new Error(`refold ${args.join(' ')} ended with ${end.code}\n${end.stdout}\n${end.stderr}`)
}

export function viewFile(stage: Stage, view: string): string {
  return path.join(stage.project, 'views', `${view}.sql`)
}
