-- Set or remove a definition, unless a later one is already there: last word wins, everywhere.
-- KEYS: the hash that is read on every call, the hash of whole definitions ('' for none).
-- ARGV: field, place in the journal, short form ('' removes), field of the whole, the whole.
local at, number = ARGV[1], tonumber(ARGV[2])
local now = redis.call('HGET', KEYS[1], at)
if now and tonumber(string.match(now, '^%d+')) >= number then return 0 end
redis.call('HSET', KEYS[1], at, ARGV[2] .. '|' .. ARGV[3])
if KEYS[2] then
  if ARGV[5] == '' then redis.call('HDEL', KEYS[2], ARGV[4])
  else redis.call('HSET', KEYS[2], ARGV[4], ARGV[5]) end
end
return 1
