-- Book what an attempt cost and give back what was reserved for it, once.
-- KEYS: call, open, book, then one hash per scope, then one per rate.
-- Lua knows a negative zero, which Redis does not take for a whole number: nothing is negated
-- that may be zero.
local q = cmsgpack.unpack(ARGV[1])
local call, open = KEYS[1], KEYS[2]
if redis.call('GET', KEYS[3]) ~= q.mark then
  return cmsgpack.pack({status = 'unbooked'})
end
local letters = {'h', 'd', 'w', 'm', 't'}
local lasts = {h = 3 * 3600, d = 3 * 86400, w = 21 * 86400, m = 100 * 86400}

local before = redis.call('GET', call)
local old = before and cmsgpack.unpack(before) or {state = 'none', reserved = 0}
local corrects = old.state == 'booked' and old.guess and not q.guess
local known = old.state == 'booked' and not corrects

-- Keep the windows that can still be asked for.
local function prune(key)
  for _, field in ipairs(redis.call('HKEYS', key)) do
    local letter, start = string.match(field, '^a?([hdwm])(%d+)$')
    if letter and tonumber(start) < q.starts[letter] - lasts[letter] then
      redis.call('HDEL', key, field)
    end
  end
end

local function book(key, starts, amount)
  if amount == 0 then return end
  for _, letter in ipairs(letters) do
    redis.call('HINCRBY', key, letter .. starts[letter], amount)
  end
end

if not known then
  for i = 1, q.scopes do
    local key = KEYS[3 + i]
    if corrects then book(key, old.starts, 0 - old.cost) end
    book(key, q.starts, q.cost)
    if old.state == 'open' then
      redis.call('HINCRBY', key, 'r', 0 - old.reserved)
      redis.call('HINCRBY', key, 'c', -1)
    end
    if redis.call('HLEN', key) > 48 then prune(key) end
    if q.lasting[i] > 0 then redis.call('EXPIRE', key, q.lasting[i]) end
  end
  redis.call('SET', call, cmsgpack.pack({state = 'booked', cost = q.cost, guess = q.guess,
    starts = q.starts, reserved = 0}), 'EX', q.keep)
  redis.call('ZREM', open, q.id)
  -- Tokens were estimated at entry; the difference goes where the estimate went.
  if old.state == 'open' then
    for i = 1, #KEYS - 3 - q.scopes do
      local key = KEYS[3 + q.scopes + i]
      if redis.call('HEXISTS', key, 't' .. old.bucket) == 1 then
        local more = math.max(q.tokens - old.tokens,
          -tonumber(redis.call('HGET', key, 't' .. old.bucket)))
        if more ~= 0 then redis.call('HINCRBY', key, 't' .. old.bucket, more) end
      end
    end
  end
end

-- Thresholds that were passed and not yet told. Said again until they are marked as told.
local passed = {}
for i = 1, q.scopes do
  local defined = redis.call('HMGET', KEYS[3 + i], 'Dh', 'Dd', 'Dw', 'Dm', 'Dt')
  for n, letter in ipairs(letters) do
    local limit, lowest
    if defined[n] then
      limit, lowest = string.match(defined[n], '^%d+|(%d+)|%a|[01]|([%d.]+)')
    end
    if limit then
      local spent = tonumber(redis.call('HGET', KEYS[3 + i], letter .. q.starts[letter]) or 0)
      local percent = 100 * spent / tonumber(limit)
      if percent >= tonumber(lowest) then
        local told = tonumber(redis.call('HGET', KEYS[3 + i], 'a' .. letter .. q.starts[letter]) or -1)
        passed[#passed + 1] = {scope = i, window = letter, spent = spent, told = told}
      end
    end
  end
end
return cmsgpack.pack({status = known and 'known' or 'booked', reserved = old.reserved,
  cost = known and 0 or q.cost - (corrects and old.cost or 0),
  passed = passed, opened = old.state == 'open'})
