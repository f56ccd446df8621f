$TTL 60
@       SOA   ns1 hostmaster 1 7200 1800 1209600 60
        NS    ns1
ns1     A     192.0.2.53
www     DYNA  geoip!www
