; A zone with what only gdnsd reads.
@     SOA ns1 dns-admin ( 1 ; serial
                          7200 30M 3D 900 )
@     NS  ns1.example.com.
ns1   A   192.0.2.2
one   DYNA static!one
www   600/10 DYNA multifo!www
      MX 10 mail.@Z
mail  300 A 192.0.2.3
both  DYNA multifo!both
pair  300 DYNA simplefo!pair
first 300 DYNA metafo!chain/two
chain 300 DYNA metafo!chain
share DYNC weighted!shares
some  DYNA weighted!some
app   60/60 DYNA geoip!app
app2  60/60 DYNA geoip!app
east  60/60 DYNA geoip!near/as
near  60/60 DYNA geoip!near
mixed 60/60 DYNA geoip!mixed
; No equivalent.
alias DYNC static!alias
names DYNC weighted!names
groups DYNA weighted!groups
cdn   DYNC geoip!cdn
what  DYNA reflect
$ORIGIN sub
a     60 DYNA static!one
b     A 192.0.2.4
$INCLUDE ../more.inc inner.@Z
c     A 192.0.2.5
long.@Z TXT "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
