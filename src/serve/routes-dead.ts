/** Routes about dead letters: by cause, as a list, one whole; sent again, or dropped. No state. */

import type { FastifyReply, FastifyRequest } from 'fastify'
import type { DeadFilter, DeadSend } from './core-dead.ts'
import { readJsonBody } from './json-body.ts'
import { nearestHint, parameterError, QueryParameters } from './query-parameters.ts'
import { sendJson } from './reply.ts'
import type { ParameterDoc, Route, RouteContext } from './route.ts'

const BODY_BYTES_MAX = 8 * 1024 * 1024
const LIST_MAX = 10_000
const LETTERS_MAX = 10_000
const SEND_FIELDS = ['letters', 'event', 'set', 'dry_run', 'force', 'who']
const SEND_HINT =
  'Send {"letters": ["12.0"], "set": {"/amount": "\\"12.50\\""}, "dry_run": true, "who": "ann"}.'
const DROP_FIELDS = ['letters', 'reason', 'who']
const DROP_HINT = 'Send {"letters": ["12.0"], "reason": "a test of the producer", "who": "ann"}.'

const filterDocs: readonly ParameterDoc[] = [
  {
    name: 'kind',
    in: 'query',
    type: 'string',
    text: '`rejected` (refused at the door) or `skipped` (left out by a view).',
  },
  { name: 'stream', in: 'query', type: 'string', text: 'Only of this stream.' },
  { name: 'view', in: 'query', type: 'string', text: 'Only those that this view left out.' },
  { name: 'code', in: 'query', type: 'string', text: 'Only with this code.' },
  { name: 'state', in: 'query', type: 'string', text: '`open`, `sent` or `dropped`.' },
]

export function deadRoutes(context: RouteContext): readonly Route[] {
  const { core } = context
  return [
    {
      method: 'GET',
      path: '/v1/dead',
      head: true,
      summary: 'Groups dead letters by cause, each with an example.',
      parameters: filterDocs,
      answer: 'application/json',
      async handle(request, reply) {
        const filter = readFilter(parametersOf(request))
        return sendJson(reply, JSON.stringify({ causes: await core.dead.causes(filter) }))
      },
    },
    {
      method: 'GET',
      path: '/v1/dead/letters',
      head: true,
      summary: 'Lists dead letters, the newest first.',
      parameters: [
        ...filterDocs,
        {
          name: 'limit',
          in: 'query',
          type: 'integer',
          text: `At most so many, up to ${LIST_MAX}; default 100.`,
        },
      ],
      answer: 'application/json',
      async handle(request, reply) {
        const parameters = parametersOf(request)
        const limit = parameters.integer('limit', 1, LIST_MAX) ?? 100
        const letters = await core.dead.list(readFilter(parameters), limit)
        return sendJson(reply, JSON.stringify({ letters }))
      },
    },
    {
      method: 'GET',
      path: '/v1/dead/letter',
      head: true,
      summary: 'Shows one dead letter whole.',
      parameters: [{ name: 'id', in: 'query', type: 'string', text: 'Id of the letter.' }],
      answer: 'application/json',
      async handle(request, reply) {
        const parameters = parametersOf(request)
        const id = parameters.text('id')
        if (id === undefined) parameters.mistake('id', 'is missing')
        parameters.finish()
        return sendJson(reply, JSON.stringify(await core.dead.show(id ?? '')))
      },
    },
    {
      method: 'POST',
      path: '/v1/dead/send',
      summary: 'Sends dead letters again, mended, or says what would become of them.',
      body: ['application/json'],
      answer: 'application/json',
      handle: (request, reply) => sendAgain(context, request, reply),
    },
    {
      method: 'POST',
      path: '/v1/dead/drop',
      summary: 'Records that nothing is to be done about dead letters.',
      body: ['application/json'],
      answer: 'application/json',
      handle: (request, reply) => drop(context, request, reply),
    },
  ]
}

function parametersOf(request: FastifyRequest): QueryParameters {
  return new QueryParameters((request.query as { text: string }).text)
}

function readFilter(parameters: QueryParameters): DeadFilter {
  const among = (name: string, known: readonly string[]) => {
    const value = parameters.text(name)
    if (value !== undefined && !known.includes(value)) {
      parameters.mistake(name, `is "${value}"`, `There are: ${known.join(', ')}.`)
    }
    return value
  }
  const filter = {
    kind: among('kind', ['rejected', 'skipped']),
    state: among('state', ['open', 'sent', 'dropped']),
    stream: parameters.text('stream'),
    view: parameters.text('view'),
    code: parameters.text('code'),
  }
  parameters.finish()
  const given = Object.entries(filter).filter(([, value]) => value !== undefined)
  return Object.fromEntries(given) as DeadFilter
}

async function sendAgain(
  { core }: RouteContext,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<unknown> {
  parametersOf(request).finish()
  const fields = await readJsonBody(request, BODY_BYTES_MAX, SEND_HINT)
  const { cut, results } = await core.dead.send(sendFields(fields))
  return sendJson(reply, JSON.stringify({ dry_run: fields.dry_run === true, cut, results }))
}

async function drop({ core }: RouteContext, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  parametersOf(request).finish()
  const fields = await readJsonBody(request, BODY_BYTES_MAX, DROP_HINT)
  const mistakes = unknownFields(fields, DROP_FIELDS)
  const letters = lettersField(fields.letters, mistakes, DROP_HINT)
  if (!isText(fields.reason))
    mistakes.push({ parameter: 'reason', message: 'field "reason" is no text', hint: DROP_HINT })
  if (mistakes.length > 0) throw parameterError(mistakes)
  const dropped = await core.dead.drop(letters, String(fields.reason), whoOf(fields.who))
  return sendJson(reply, JSON.stringify({ dropped }))
}

interface Mistake {
  readonly parameter: string
  readonly message: string
  readonly hint?: string
}

function sendFields(fields: Readonly<Record<string, unknown>>): DeadSend {
  const mistakes = unknownFields(fields, SEND_FIELDS)
  const letters = lettersField(fields.letters, mistakes, SEND_HINT)
  const { event, set, dry_run: dryRun = false, force = false } = fields
  const refuse = (parameter: string, what: string) =>
    mistakes.push({ parameter, message: `field "${parameter}" ${what}`, hint: SEND_HINT })
  if (event !== undefined && !isText(event)) refuse('event', 'is not the JSON text of an event')
  const isSet = typeof set === 'object' && set !== null && Object.values(set).every(isText)
  if (set !== undefined && !isSet) refuse('set', 'is not a JSON text by pointer')
  if (typeof dryRun !== 'boolean') refuse('dry_run', 'is not true or false')
  if (typeof force !== 'boolean') refuse('force', 'is not true or false')
  if (mistakes.length > 0) throw parameterError(mistakes)
  return {
    ...{ letters, dryRun: dryRun === true, force: force === true, who: whoOf(fields.who) },
    ...(event === undefined ? {} : { event: String(event) }),
    ...(set === undefined ? {} : { set: set as Readonly<Record<string, string>> }),
  }
}

function unknownFields(fields: Readonly<Record<string, unknown>>, known: readonly string[]): Mistake[] {
  return Object.keys(fields)
    .filter((name) => !known.includes(name))
    .map((name) => ({
      parameter: name,
      message: `field "${name}" is unknown`,
      hint: nearestHint(name, known),
    }))
}

function lettersField(given: unknown, mistakes: Mistake[], hint: string): readonly string[] {
  if (Array.isArray(given) && given.length > 0 && given.length <= LETTERS_MAX && given.every(isText))
    return given
  mistakes.push({
    parameter: 'letters',
    message: `field "letters" is not a list of 1 to ${LETTERS_MAX} ids`,
    hint,
  })
  return []
}

function whoOf(given: unknown): string {
  return isText(given) ? given.slice(0, 200) : 'unknown'
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}
