-- Reserve the first offer that fits every budget, within every limit; or change nothing.
-- KEYS: book, call, open, pauses, limits, then one hash per scope, then one per rate.
local q = cmsgpack.unpack(ARGV[1])
local book, call, open, pauses, limits = unpack(KEYS, 1, 5)
local scopes, rates = #q.scopes, #q.rates

local function answer(status, rest)
  rest = rest or {}
  rest.status = status
  return cmsgpack.pack(rest)
end

if redis.call('GET', book) ~= '1' then return answer('unbooked') end

-- The same attempt again: the same answer, and nothing counted twice.
local before = redis.call('GET', call)
if before then
  local old = cmsgpack.unpack(before)
  if old.state ~= 'open' then return answer('closed') end
  return answer('reserved', {offer = old.offer, reserved = old.reserved,
    max_tokens = old.max_tokens})
end

-- Pauses -------------------------------------------------------------------------------------
local stopped = redis.call('HMGET', pauses, unpack(q.pauses))
for i, name in ipairs(q.pauses) do
  if stopped[i] then
    local reason = string.match(stopped[i], '^%d+|1|(.*)$')
    if reason then return answer('paused', {name = name, reason = reason}) end
  end
end

-- Limits: windows of 60 s that slide by 5 s. A bucket counts until all of it is older. --------
local BUCKET, LIVES = 5, 13
local bucket = math.floor(q.now / BUCKET)

local function live(key)
  local flat, requests, tokens = redis.call('HGETALL', key), {}, {}
  for i = 1, #flat, 2 do
    local kind, number = string.sub(flat[i], 1, 1), tonumber(string.sub(flat[i], 2))
    if number <= bucket - LIVES then redis.call('HDEL', key, flat[i])
    elseif kind == 'r' then requests[#requests + 1] = {number, tonumber(flat[i + 1])}
    else tokens[#tokens + 1] = {number, tonumber(flat[i + 1])} end
  end
  return requests, tokens
end

-- Used so far, and the seconds until `need` more would fit (0: now).
local function pressure(buckets, limit, need)
  local used = 0
  for _, b in ipairs(buckets) do used = used + b[2] end
  local left, wait = used, 0
  if left + need > limit then
    table.sort(buckets, function(a, b) return a[1] < b[1] end)
    for _, b in ipairs(buckets) do
      left = left - b[2]
      wait = (b[1] + LIVES) * BUCKET - q.now
      if left + need <= limit then break end
    end
  end
  return used, wait
end

local function numbers(text)
  if not text then return {0, 0, 0} end
  local rpm, tpm, parallel = string.match(text, '^%d+|(%d+)|(%d+)|(%d+)$')
  return {tonumber(rpm or 0), tonumber(tpm or 0), tonumber(parallel or 0)}
end

local function first(...)
  for _, value in ipairs({...}) do if value > 0 then return value end end
  return 0
end

local names = {}
for i, rate in ipairs(q.rates) do names[i] = rate.name end
names[rates + 1] = 'default:'
local set = redis.call('HMGET', limits, unpack(names))
local default = numbers(set[rates + 1])
local counted, shown = {}, nil
for i, rate in ipairs(q.rates) do
  local here = numbers(set[i])
  local key, held = KEYS[5 + scopes + i], {}
  for n = 1, 3 do
    if i == 1 then held[n] = first(here[n], rate.own[n], default[n], q.default[n])
    else held[n] = first(here[n], rate.own[n]) end
  end
  local rpm, tpm, parallel = unpack(held)
  local function refused(what, limit, used, wait)
    return answer('limited', {name = rate.name, limit = what, max = limit, used = used,
      retry_after = wait})
  end
  if q.attempt <= 1 and parallel > 0 then
    local now = tonumber(redis.call('HGET', KEYS[5 + rate.scope], 'c') or 0)
    if now >= parallel then return refused('concurrency', parallel, now, 1) end
  end
  if q.attempt <= 1 and (rpm > 0 or tpm > 0) then
    local requests, tokens = live(key)
    local need = math.min(q.input_tokens, tpm)
    local seen, wait = pressure(requests, rpm, 1)
    if rpm > 0 and wait > 0 then return refused('rpm', rpm, seen, wait) end
    local spent, pause = pressure(tokens, tpm, need)
    if tpm > 0 and pause > 0 then return refused('tpm', tpm, spent, pause) end
    -- All of it, also above the limit: the correction when it is booked starts from there.
    counted[#counted + 1] = {key, q.input_tokens}
    local view = {name = rate.name, rpm = rpm, tpm = tpm, requests = rpm - seen - 1,
      tokens = tpm - spent - need}
    if not shown or (rpm > 0 and view.requests < shown.requests) then shown = view end
  end
end

-- Budgets ------------------------------------------------------------------------------------
local budgets = {}
local fields = {'Dh', 'Dd', 'Dw', 'Dm', 'Dt', 'r', 'h' .. q.starts.h, 'd' .. q.starts.d,
  'w' .. q.starts.w, 'm' .. q.starts.m, 't0'}
local letters = {'h', 'd', 'w', 'm', 't'}
for i = 1, scopes do
  local found = redis.call('HMGET', KEYS[5 + i], unpack(fields))
  for n = 1, 5 do
    if found[n] then
      local limit, mode, clamp = string.match(found[n], '^%d+|(%d+)|(%a)|([01])|')
      local spent, reserved = tonumber(found[6 + n] or 0), tonumber(found[6] or 0)
      if limit then
        budgets[#budgets + 1] = {scope = i, window = letters[n], limit = tonumber(limit),
          mode = mode, clamp = clamp == '1', spent = spent, reserved = reserved,
          room = tonumber(limit) - spent - reserved}
      end
    end
  end
end
if q.cap > 0 then
  budgets[#budgets + 1] = {scope = 0, window = '', limit = q.cap, mode = 'd', clamp = true,
    spent = 0, reserved = 0, room = q.cap}
end

-- The budgets that an amount does not fit; advice refuses nothing.
local function failing(amount)
  local found = {}
  for _, b in ipairs(budgets) do
    if amount > 0 and b.mode ~= 'a' and amount > b.room then found[#found + 1] = b end
  end
  return found
end

local function clamped(offer)
  local room, output = nil, math.ceil(offer.max_tokens * offer.output_price / 1e6)
  for _, b in ipairs(failing(offer.estimate)) do
    if not b.clamp then return nil end
    room = math.min(room or b.room, b.room)
  end
  if not room or offer.output_price <= 0 then return nil end
  local fixed = offer.estimate - output
  local tokens = math.floor((room - fixed) * 1e6 / offer.output_price)
  if tokens < math.max(q.floor, 1) or tokens >= offer.max_tokens then return nil end
  return tokens, fixed + math.ceil(tokens * offer.output_price / 1e6)
end

local top = q.offers[1]
local against = failing(top.estimate)
local cheaper = true
for _, b in ipairs(against) do cheaper = cheaper and b.mode == 'd' end
local allowed = {}
for i, offer in ipairs(q.offers) do
  if i == 1 or (cheaper and offer.estimate < top.estimate) then allowed[#allowed + 1] = i end
end

local chosen, amount, max_tokens = nil, 0, 0
for _, i in ipairs(allowed) do
  if #failing(q.offers[i].estimate) == 0 then
    chosen, amount = i, q.offers[i].estimate
    break
  end
end
if not chosen then
  for _, i in ipairs(allowed) do
    local tokens, cost = clamped(q.offers[i])
    if tokens then
      chosen, amount, max_tokens = i, cost, tokens
      break
    end
  end
end

if not chosen then
  local worst = against[1]
  for _, b in ipairs(against) do if b.room < worst.room then worst = b end end
  for _, b in ipairs(against) do
    if b.scope > 0 then
      b.told = tonumber(redis.call('HGET', KEYS[5 + b.scope],
        'a' .. b.window .. q.starts[b.window]) or -1)
    end
  end
  local fitting = {}
  for i, offer in ipairs(q.offers) do
    if #failing(offer.estimate) == 0 then fitting[#fitting + 1] = i - 1 end
  end
  return answer('refused', {budget = worst, against = against, estimate = top.estimate,
    alternatives = fitting})
end

-- Book it ------------------------------------------------------------------------------------
for i = 1, scopes do
  redis.call('HINCRBY', KEYS[5 + i], 'r', amount)
  redis.call('HINCRBY', KEYS[5 + i], 'c', 1)
end
for _, rate in ipairs(counted) do
  redis.call('HINCRBY', rate[1], 'r' .. bucket, 1)
  redis.call('HINCRBY', rate[1], 't' .. bucket, rate[2])
  redis.call('EXPIRE', rate[1], 90)
end
redis.call('SET', call, cmsgpack.pack({state = 'open', offer = chosen - 1, reserved = amount,
  max_tokens = max_tokens, bucket = bucket, tokens = q.input_tokens, note = q.note,
  model = q.offers[chosen].model, deployment = q.offers[chosen].deployment,
  input_cost = q.offers[chosen].input_cost}))
redis.call('ZADD', open, q.expires, q.id)

local tightest, advised = nil, false
for _, b in ipairs(budgets) do
  b.room = b.room - amount
  if b.mode == 'a' and b.room < 0 then advised = true end
  if b.scope > 0 and (not tightest or b.room < tightest.room) then tightest = b end
end
return answer('reserved', {offer = chosen - 1, reserved = amount, max_tokens = max_tokens,
  tightest = tightest, advised = advised, rate = shown})
